"""What a person reads of a run: which of its tasks runs, and which waits for whom."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from deploy.local.airflow_api import DagRun, TaskInstance
from deploy.local.watching.waiting import Doing, Waiting

NOW = datetime.datetime(2026, 11, 30, 12, 0, tzinfo=datetime.UTC)
SLOTS = {"spark": 1, "index": 1, "release": 4, "default_pool": 128}
RUN_ID = "promotion-2-enc"


def task(catalog: str, task_id: str, state: str, **given: Any) -> TaskInstance:
    values = {"dag_id": f"{catalog}.build_index", "run_id": RUN_ID, "map_index": -1, "try_number": 1}
    values |= {"started_at": None, "pool": "default_pool", "priority_weight": 1, **given}
    return TaskInstance(task_id=task_id, state=state, **values)


def run_of(catalog: str) -> DagRun:
    return DagRun(f"{catalog}.build_index", RUN_ID, "running", None, {}, NOW)


def doing(catalog: str, *tasks: TaskInstance, parallelism: int = 4) -> Doing:
    told = Waiting(tasks, slots=SLOTS, parallelism=parallelism).describe(run_of(catalog))
    assert told is not None
    return told


def test_a_task_that_runs_says_since_when() -> None:
    began = NOW - datetime.timedelta(seconds=12)
    running = task("demo", "assemble_index", "running", started_at=began)

    assert doing("demo", running, task("other", "plan_index", "running")) == Doing("building the index", began)


def test_a_task_without_words_is_called_by_its_id() -> None:
    assert doing("demo", task("demo", "count_sheep", "running")).text == "count_sheep"


def test_a_mapped_task_of_which_one_runs_and_one_waits_is_told_once() -> None:
    began = NOW - datetime.timedelta(seconds=3)
    first = task("demo", "embed_images", "running", map_index=0, pool="spark", started_at=began)
    second = task("demo", "embed_images", "scheduled", map_index=1, pool="spark")

    assert doing("demo", second, first) == Doing("embedding pictures", began)


def test_a_task_that_waits_for_a_pool_says_whose_job_goes_before_and_how_many_more() -> None:
    mine = task("demo", "encode_parts", "scheduled", pool="spark", priority_weight=50)
    others = [
        task("grocery", "profile_images", "running", pool="spark", priority_weight=10),
        task("b", "encode_parts", "scheduled", pool="spark", priority_weight=60),
        task("c", "encode_parts", "scheduled", pool="spark", priority_weight=51),
        task("d", "embed_head", "scheduled", pool="spark", priority_weight=9),
        task("e", "assemble_index", "running", pool="index", priority_weight=90),
    ]

    told = doing("demo", mine, *others)

    assert told.text == "waiting for catalog grocery (checking pictures) and 2 more"
    assert told.waits


def test_a_task_that_waits_for_a_worker_says_so() -> None:
    running = [task(name, "resolve_encoder", "running", priority_weight=4) for name in "ab"]

    for state in ("scheduled", "queued"):
        mine = task("demo", "resolve_encoder", state, priority_weight=5)
        assert doing("demo", mine, *running, parallelism=2) == Doing(
            "waiting for a free worker: all 2 are busy", waits=True
        )
        assert doing("demo", mine, *running) == Doing("choosing the encoder")


def test_a_build_that_waits_for_its_turn_says_who_is_before() -> None:
    waiting = [
        task(name, "wait_for_ingest", "deferred", priority_weight=weight)
        for name, weight in (("demo", 3), ("b", 7), ("c", 6), ("d", 5), ("e", 2))
    ]
    released = task(
        "a", "stage_release", "running", dag_id="a.release_index", run_id=f"release-1__{RUN_ID}", priority_weight=90
    )
    stranger = task("f", "plan_index", "running", run_id="head-7-enc", priority_weight=80)

    told = doing("demo", *waiting, released, stranger)

    assert told == Doing("waiting for its turn in the promotion, behind a, b, c and 1 more", waits=True)


def test_a_build_that_waits_for_an_ingest_of_its_catalog_has_not_begun() -> None:
    waits, plans = task("demo", "wait_for_ingest", "deferred"), task("demo", "plan_index", "scheduled")
    ingest = task("demo", "embed_images", "running", dag_id="demo.ingest_catalog", run_id="x")

    for own, has_begun in ((waits, False), (plans, True)):
        tasks = Waiting([own, ingest], slots=SLOTS, parallelism=4)
        assert tasks.has_begun(run_of("demo")) is has_begun
        assert [tasks.is_ingesting(catalog) for catalog in ("demo", "other")] == [True, False]


def test_a_task_that_is_tried_again_says_that_it_failed() -> None:
    told = doing("demo", task("demo", "embed_head", "up_for_retry", try_number=2))

    assert told == Doing("embedding pictures that have no vectors yet: try 2 failed, retrying soon", waits=True)


@pytest.mark.parametrize("others", [[], [task("other", "embed_head", "running")]])
def test_a_run_between_two_tasks_does_nothing_that_could_be_told(others: list[TaskInstance]) -> None:
    assert Waiting(others, slots=SLOTS, parallelism=4).describe(run_of("demo")) is None
