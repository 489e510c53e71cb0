"""What is killed in the middle of a run is run again and ends in the same state: nothing lost, nothing twice."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping

import httpx
import pytest

from deploy.local import services, supervisor
from deploy.local.airflow_api import DagRun
from deploy.local.catalog_runs import read_catalog_state
from deploy.local.supervisor import Record
from deploy.local.watching.run_watch import dag_ids, wait_for_runs
from tests.end_to_end.conftest import CATALOG_ID, HTTP_TIMEOUT_S, LATER_DAY, Released, live_release
from tests.end_to_end.embedded import embedded_keys, head_keys
from tests.end_to_end.killing import every_row_to_spark, kill, no_block_committed, running_task, service, spark_driver
from tests.platform_fixture import Platform
from tests.waiting import is_gone, wait_for

pytestmark = pytest.mark.timeout(3000)


@pytest.fixture(scope="module")
def survived(platform: Platform, released: Released, deliveries: dict[str, str]) -> list[DagRun]:
    """A day in whose run a Spark driver, its task, a task that embeds, and the search tier are killed, one by one."""
    since = datetime.datetime.now(datetime.UTC)
    ingest_dag = f"{CATALOG_ID}.ingest_catalog"
    with every_row_to_spark(platform):
        ingest = platform.airflow.trigger(ingest_dag, partition_key=LATER_DAY, conf={"source": deliveries[LATER_DAY]})
        kill(wait_for(lambda: spark_driver(platform, "profile"), what="the driver of the profile job"))
        driver = wait_for(lambda: spark_driver(platform, "profile"), what="the driver of the next try")
        profiling = running_task(platform)
        assert profiling is not None
        kill(profiling)
        wait_for(lambda: is_gone(driver), what="the end of the driver whose task was killed")

    with no_block_committed(platform) as waits_to_commit:
        wait_for(lambda: _runs(platform, ingest, "embed_images"), what="the task that embeds", every_s=0.5)
        wait_for(waits_to_commit, what="its first commit")
        embedding = running_task(platform)
        assert embedding is not None
        kill(embedding)

    release_dag = f"{CATALOG_ID}.release_index"
    wait_for(
        lambda: _started(platform, release_dag, "gate_release", since=since),
        what="the gate of the release",
        every_s=0.5,
    )
    before = supervisor.read_records(platform.configuration.layout)
    kill(service(platform, "search"))
    _wait_until_back(platform, before)

    runs = wait_for_runs(platform.airflow, dag_ids(CATALOG_ID), since=since)
    tries = {task.task_id: task.try_number for task in platform.airflow.task_instances(ingest)}
    assert tries["profile_images"] >= 3
    assert tries["embed_images"] >= 2
    after = supervisor.read_records(platform.configuration.layout)
    assert {name for name in after if after[name] != before[name]} == {"search"}
    return runs


def test_a_run_whose_parts_were_killed_is_released_all_the_same(platform: Platform, survived: list[DagRun]) -> None:
    state = read_catalog_state(platform.configuration, CATALOG_ID)

    assert {run.state for run in survived} == {"success"}
    assert state.is_released
    assert LATER_DAY in state.head.manifests
    assert live_release(platform)["items"] == len(head_keys(platform))


def test_every_image_was_embedded_once(platform: Platform, survived: list[DagRun]) -> None:
    embedded = embedded_keys(platform, str(live_release(platform)["encoder_fingerprint"]))

    assert len(embedded) == len(set(embedded))
    assert set(head_keys(platform)) <= set(embedded)


def test_running_the_day_again_undisturbed_changes_nothing(
    platform: Platform, survived: list[DagRun], run_to_the_end: Callable[[Callable[[], object]], list[DagRun]]
) -> None:
    before, live = read_catalog_state(platform.configuration, CATALOG_ID), live_release(platform)

    run_to_the_end(lambda: platform.airflow.trigger(f"{CATALOG_ID}.ingest_catalog", partition_key=LATER_DAY))

    after = read_catalog_state(platform.configuration, CATALOG_ID)
    assert (after.head, after.live) == (before.head, before.live)
    assert live_release(platform) == live


def test_a_search_tier_that_is_killed_and_started_again_costs_no_release(
    platform: Platform, survived: list[DagRun]
) -> None:
    live = live_release(platform)
    before = supervisor.read_records(platform.configuration.layout)

    kill(service(platform, "search"))
    _wait_until_back(platform, before)

    assert live_release(platform)["release_id"] == live["release_id"]
    # Up means that the tier answers; its workers come one after the other.
    wait_for(lambda: _is_ready(platform), what="a tier whose workers all accept requests", every_s=0.5)


def _is_ready(platform: Platform) -> bool:
    return httpx.get(f"{platform.search_url}/readyz", timeout=HTTP_TIMEOUT_S).status_code == httpx.codes.OK


def _wait_until_back(platform: Platform, before: Mapping[str, Record]) -> None:
    """Waits until the keeper has started the search tier again, and it answers."""
    layout = platform.configuration.layout
    search = services.search(platform.configuration)

    def is_back() -> bool:
        record = supervisor.read_record(layout, "search")
        return record is not None and record != before["search"] and search.is_ready(record.started_at)

    wait_for(is_back, what="the search tier", every_s=0.2)


def _runs(platform: Platform, run: DagRun, task_id: str) -> bool:
    tasks = platform.airflow.task_instances(run)
    return any(task.task_id == task_id and task.state == "running" for task in tasks)


def _started(platform: Platform, dag_id: str, task_id: str, *, since: datetime.datetime) -> bool:
    runs = platform.airflow.runs_since(since, dag_ids=[dag_id])  # one that ended before anybody looked has started, too
    tasks = [task for run in runs for task in platform.airflow.task_instances(run)]
    return any(task.task_id == task_id and task.state in ("running", "success") for task in tasks)
