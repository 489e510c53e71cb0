"""How far a catalog's way to a release is, from what Airflow says of its runs."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

from deploy.local.airflow_api import DagRun, TaskInstance
from deploy.local.watching.stages import Progress, Stage, Stages
from deploy.local.watching.waiting import Doing, Waiting

BEGAN = datetime.datetime(2026, 11, 30, 12, 0, tzinfo=datetime.UTC)
WAY = ["demo.ingest_catalog", "demo.build_index", "demo.release_index"]
DAYS = ["2026-11-01", "2026-11-02", "2026-11-03"]


def at(seconds: float) -> datetime.datetime:
    return BEGAN + datetime.timedelta(seconds=seconds)


def ingest(day: int, state: str, *, began: float | None = None, ended: float | None = None) -> DagRun:
    moments = [None if moment is None else at(moment) for moment in (began, ended)]
    return DagRun(WAY[0], f"ingest-{day}", state, f"2026-11-{day:02d}", {"source": f"/day/{day}"}, *moments)


def run(name: str, state: str, *, began: float, ended: float | None = None, catalog: str = "demo") -> DagRun:
    return DagRun(f"{catalog}.{name}", "head-1", state, None, {}, at(began), None if ended is None else at(ended))


def task(of: DagRun, task_id: str, state: str = "running", *, began: float = 0.0, **given: Any) -> TaskInstance:
    values = {"map_index": -1, "try_number": 1, "pool": "default_pool", "priority_weight": 1, **given}
    return TaskInstance(of.dag_id, of.run_id, task_id, state=state, started_at=at(began), **values)


def waiting(*tasks: TaskInstance) -> Waiting:
    return Waiting(tasks, slots={"spark": 1, "default_pool": 4}, parallelism=4)


def look(
    active: Sequence[DagRun], ended: Sequence[DagRun], *tasks: TaskInstance, stages: Stages | None = None
) -> tuple[Stage, ...]:
    watched = stages or Stages(WAY, since=BEGAN, asked={"ingest-1", "ingest-2", "ingest-3"})
    return watched.look(active, ended, waiting(*tasks))


def test_an_ingest_of_several_days_says_at_which_of_them_it_is() -> None:
    done, now, later = ingest(1, "success", began=1, ended=30), ingest(2, "running", began=31), ingest(3, "queued")

    first, *ahead = look([now, later], [done], task(now, "profile_images", began=40))

    assert (first.name, first.progress) == ("ingest", Progress.UNDER_WAY)
    assert (first.where, first.day) == ("day 2 of 3", "2026-11-02")
    assert first.doings == (Doing("checking pictures", at(40)),)
    assert [(stage.name, stage.progress) for stage in ahead] == [
        ("build", Progress.AHEAD),
        ("release", Progress.AHEAD),
    ]


def test_the_only_day_of_an_ingest_is_not_counted() -> None:
    now = ingest(1, "running", began=1)

    first, *_ = look([now], [], stages=Stages(WAY, since=BEGAN, asked={"ingest-1"}))

    assert (first.where, first.day) == ("", "2026-11-01")


def test_the_ingest_of_somebody_else_is_waited_for_by_name() -> None:
    theirs, mine = ingest(9, "running", began=1), ingest(1, "queued")

    first, *_ = look([theirs, mine], [], task(theirs, "embed_images", began=2))

    assert (first.where, first.day) == ("after another ingest", "2026-11-09")
    assert first.doings == (Doing("embedding pictures", at(2)),)


def test_between_two_tasks_a_run_goes_on_to_show_the_one_before() -> None:
    now, stages = ingest(1, "running", began=1), Stages(WAY, since=BEGAN)

    before = look([now], [], task(now, "validate_items", began=4), stages=stages)

    assert look([now], [], stages=stages) == before


def test_a_build_that_waits_for_the_days_is_ahead() -> None:
    now, build = ingest(2, "running", began=31), run("build_index", "running", began=30)
    waits = task(build, "wait_for_ingest", "deferred")

    stages = look([now, build], [ingest(1, "success", began=1, ended=30)], task(now, "embed_images"), waits)

    assert [stage.progress for stage in stages] == [Progress.UNDER_WAY, Progress.AHEAD, Progress.AHEAD]


def test_a_build_that_waits_is_ahead_also_between_two_tasks_of_the_ingest() -> None:
    stages, now = Stages(WAY, since=BEGAN), ingest(2, "running", began=31)
    build = run("build_index", "running", began=30)
    waits = task(build, "wait_for_ingest", "deferred")

    for tasks in ([waits], [task(now, "embed_images"), waits]):
        _, second, _ = look([now, build], [], *tasks, stages=stages)

        assert second.progress is Progress.AHEAD


def test_a_build_that_has_begun_stays_under_way_when_another_day_comes() -> None:
    stages, build = Stages(WAY, since=BEGAN), run("build_index", "running", began=30)
    later = ingest(3, "running", began=50)
    look([build], [], task(build, "plan_index"), stages=stages)

    _, second, _ = look([later, build], [], task(later, "check_partition_key"), stages=stages)

    assert second.doings == (Doing("planning the index", at(0)),)


def test_a_build_whose_tasks_are_not_there_yet_is_ahead_too() -> None:
    now, build = ingest(2, "running", began=31), run("build_index", "queued", began=30)

    for state in ("queued", "running"):
        stages = look([now, dataclasses.replace(build, state=state)], [], task(now, "check_partition_key"))

        assert [stage.progress for stage in stages] == [Progress.UNDER_WAY, Progress.AHEAD, Progress.AHEAD]


def test_a_stage_that_is_done_says_what_it_took_since_the_one_before() -> None:
    days = [ingest(day, "success", began=day, ended=day * 10) for day in (1, 2, 3)]
    build, release = run("build_index", "success", began=11, ended=42), run("release_index", "running", began=41)

    stages = look([release], [*days, build], task(release, "verify_release", began=44))

    assert stages[0] == Stage("ingest", Progress.DONE, "3 days", seconds=30.0)
    assert stages[1] == Stage("build", Progress.DONE, seconds=12.0)
    assert stages[2].doings == (Doing("verifying the release", at(44)),)


def test_a_stage_that_failed_says_at_which_day() -> None:
    stages = Stages(WAY, since=BEGAN, asked={"ingest-1", "ingest-2"})
    now = ingest(2, "running", began=31)
    done = ingest(1, "success", began=1, ended=30)
    look([now], [done], task(now, "validate_items"), stages=stages)

    first, *_ = look([], [done, ingest(2, "failed", began=31, ended=50)], stages=stages)

    assert (first.progress, first.where, first.day) == (Progress.FAILED, "day 2 of 2", "2026-11-02")
    assert first.doings == (Doing("failed"),)


def test_a_run_of_somebody_else_that_failed_fails_no_stage() -> None:
    now = ingest(1, "running", began=5)

    first, *_ = look([now], [ingest(9, "failed", began=1, ended=4)])

    assert (first.progress, first.where, first.day) == (Progress.UNDER_WAY, "day 1 of 3", "2026-11-01")


def test_a_stage_of_several_catalogs_names_those_at_work_and_counts_the_others() -> None:
    builds = [run("build_index", "running", began=1, catalog=name) for name in "abcd"]
    done = run("build_index", "success", began=1, ended=9, catalog="e")
    tasks = [task(builds[0], "assemble_index", began=5), task(builds[1], "embed_head", began=7)]
    tasks += [task(build, "wait_for_ingest", "deferred", began=1) for build in builds[2:]]
    tasks = [TaskInstance(**{**vars(one), "priority_weight": 9 - place}) for place, one in enumerate(tasks)]

    [stage] = Stages([f"{name}.build_index" for name in "abcde"], since=BEGAN).look(builds, [done], waiting(*tasks))

    assert stage.where == "1 of 5 done"
    assert stage.doings == (
        Doing("a: building the index", at(5)),
        Doing("b: embedding pictures that have no vectors yet", at(7)),
        Doing("2 waiting", waits=True),
    )
