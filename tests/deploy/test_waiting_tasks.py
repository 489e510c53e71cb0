"""What a person reads of a run: which of its tasks runs, and which waits for what and behind how many."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from deploy.local.airflow_api import DagRun, TaskInstance
from deploy.local.waiting_tasks import Waiting

NOW = datetime.datetime(2026, 11, 30, 12, 0, tzinfo=datetime.UTC)
SLOTS = {"spark": 1, "index": 1, "release": 4, "default_pool": 128}
RUN_ID = "promotion-2-enc"


def task(catalog: str, task_id: str, state: str, **given: Any) -> TaskInstance:
    values = {"dag_id": f"{catalog}.build_index", "run_id": RUN_ID, "map_index": -1, "try_number": 1}
    values |= {"started_at": None, "pool": "default_pool", "priority_weight": 1, **given}
    return TaskInstance(task_id=task_id, state=state, **values)


def said(catalog: str, *tasks: TaskInstance, parallelism: int = 4) -> str:
    run = DagRun(f"{catalog}.build_index", RUN_ID, "running", None, {}, NOW)
    return Waiting(tasks, slots=SLOTS, parallelism=parallelism, now=NOW).describe(run)


def test_a_task_that_runs_says_for_how_long() -> None:
    running = task("demo", "embed_head", "running", started_at=NOW - datetime.timedelta(seconds=12))

    assert said("demo", running, task("other", "plan_index", "running")) == "embed_head 12 s"


def test_a_task_that_waits_for_a_pool_says_which_and_behind_how_many() -> None:
    mine = task("demo", "encode_parts", "scheduled", pool="spark", priority_weight=50)
    others = [
        task("a", "embed_head", "running", pool="spark", priority_weight=10),
        task("b", "encode_parts", "scheduled", pool="spark", priority_weight=60),
        task("c", "encode_parts", "scheduled", pool="spark", priority_weight=51),
        task("d", "embed_head", "scheduled", pool="spark", priority_weight=9),
        task("e", "assemble_index", "running", pool="index", priority_weight=90),
    ]

    assert said("demo", mine, *others) == "encode_parts waits for the pool `spark`, 3 ahead of it"


def test_a_task_that_waits_for_a_worker_says_so() -> None:
    running = [task(name, "resolve_encoder", "running", priority_weight=4) for name in "ab"]

    for state in ("scheduled", "queued"):
        mine = task("demo", "resolve_encoder", state, priority_weight=5)
        assert said("demo", mine, *running, parallelism=2) == "resolve_encoder waits for one of 2 workers, 2 run"
        assert said("demo", mine, *running) == "resolve_encoder starts"


def test_a_build_that_waits_for_its_turn_says_who_is_before() -> None:
    waiting = [
        task(name, "wait_for_ingest", "deferred", priority_weight=weight)
        for name, weight in (("demo", 3), ("b", 5), ("c", 4), ("e", 2))
    ]
    released = task("a", "stage_release", "running", dag_id="a.release_index", run_id=f"release-1__{RUN_ID}")
    released = TaskInstance(**{**vars(released), "priority_weight": 90})
    stranger = task("f", "plan_index", "running", run_id="head-7-enc", priority_weight=80)

    assert said("demo", *waiting, released, stranger) == "wait_for_ingest waits for its turn, 3 ahead of it: a, b, c"


def test_a_build_that_waits_for_an_ingest_says_which() -> None:
    waiting = task("demo", "wait_for_ingest", "deferred", started_at=NOW - datetime.timedelta(seconds=40))
    ingest = task("demo", "embed_images", "running", dag_id="demo.ingest_catalog", run_id="x")

    assert said("demo", waiting, ingest) == "wait_for_ingest waits for demo.ingest_catalog, 40 s"


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("queued", "embed_images[1] starts"),
        ("up_for_retry", "embed_images[1] failed in try 1 and is tried again soon"),
    ],
)
def test_other_states_are_told_in_words(state: str, says: str) -> None:
    assert said("demo", task("demo", "embed_images", state, map_index=1)) == says


def test_a_run_between_two_tasks_says_that() -> None:
    assert said("demo", task("other", "embed_head", "running")) == "between two tasks"
