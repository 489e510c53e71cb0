"""The main job on the real platform: three partitions go in, a live search comes out, and redoing changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import httpx
import pytest

from deploy.local.airflow_api import AirflowError, DagRun
from deploy.local.catalog_runs import read_catalog_state
from deploy.local.configuration import POOLS
from deploy.local.watching.failures import explain_failure
from tests.end_to_end.conftest import CATALOG_ID, DAYS, HTTP_TIMEOUT_S, ROOT, Released, live_release
from tests.head_rows import head_rows
from tests.platform_fixture import Platform
from tests.recorded.interfaces import FOLDER as RECORDED
from tests.waiting import wait_for
from vitrine.connections import open_ledger, open_object_store
from vitrine.head.reader import read_manifest

pytestmark = pytest.mark.timeout(3000)


def test_three_partitions_become_one_build_and_one_live_release(platform: Platform, released: Released) -> None:
    made = Counter(run.dag_id.partition(".")[2] for run in released.runs)

    assert made == {"ingest_catalog": 3, "build_index": 1, "release_index": 1}
    assert {run.state for run in released.runs} == {"success"}
    assert sorted(released.state.head.manifests) == list(DAYS)
    assert released.state.live is not None
    assert released.state.live.generation == 1
    assert released.state.live.head_sequence == released.state.head.head_sequence


def test_the_run_leaves_keys_rows_and_tasks_of_the_shapes_that_were_recorded(released: Released) -> None:
    recorded = json.loads((RECORDED / "main_job.json").read_text(encoding="utf-8"))

    assert {kind: sorted(found) for kind, found in released.left.items()} == recorded


def test_a_build_that_has_nothing_to_embed_and_nothing_to_encode_takes_no_slot_of_spark(
    platform: Platform, released: Released
) -> None:
    [build] = [run for run in released.runs if run.dag_id.endswith(".build_index")]

    tasks = platform.airflow.task_instances(build)

    states = {task.task_id: task.state for task in tasks}
    assert {name for name, state in states.items() if state == "skipped"} == {"embed_head", "encode_parts"}
    assert set(states.values()) == {"skipped", "success"}
    assert {task.task_id for task in tasks if task.pool == "spark"} == {"embed_head", "encode_parts"}


def test_what_the_terminal_says_of_waiting_is_asked_of_airflow_in_two_requests(
    platform: Platform, released: Released
) -> None:
    weights = {
        task.task_id: task.priority_weight for run in released.runs for task in platform.airflow.task_instances(run)
    }

    assert platform.airflow.pool_slots() == POOLS
    assert [task for task in platform.airflow.active_tasks() if task.dag_id.startswith(f"{CATALOG_ID}.")] == []
    assert weights["embed_head"] < weights["embed_images"] < weights["encode_parts"] < weights["gate_release"]


def test_every_row_is_accepted_or_rejected_with_a_reason(platform: Platform, released: Released) -> None:
    store = open_object_store(platform.settings)
    manifests = [read_manifest(store, CATALOG_ID, dt, id_) for dt, id_ in released.state.head.manifests.items()]

    assert all(one.rows_in == one.rows_accepted + one.rows_rejected > 0 for one in manifests)
    assert all(sum(one.rejected_by_reason.values()) == one.rows_rejected for one in manifests)
    assert sum(one.rows_rejected for one in manifests) > 0  # faults were planted


def test_the_live_release_holds_the_whole_head(platform: Platform, released: Released) -> None:
    items = _head_items(platform)

    answer = _search(platform, {"text": "a red dress", "top_k": 200})

    assert released.live["items"] == len(items)
    assert {result["item_id"] for result in answer["results"]} == items
    assert answer["release_id"] == released.live["release_id"]


def test_an_item_finds_others_by_item_and_is_found_by_its_own_picture(platform: Platform, released: Released) -> None:
    item_id = sorted(_head_items(platform))[0]

    similar = _search(platform, {"item_id": item_id, "top_k": 5})["results"]
    [image_url] = [
        result["image_url"]
        for result in _search(platform, {"text": "a shirt", "top_k": 200})["results"]
        if result["item_id"] == item_id
    ]
    picture = httpx.get(httpx.URL(platform.search_url).join(image_url), timeout=HTTP_TIMEOUT_S)
    by_picture = httpx.post(
        f"{platform.search_url}/v1/search",
        files={"image": ("picture", picture.content)},
        data={"catalog": CATALOG_ID, "top_k": "5"},
        timeout=HTTP_TIMEOUT_S,
    )

    assert len(similar) == 5
    assert item_id not in {result["item_id"] for result in similar}
    assert by_picture.status_code == 200, by_picture.text
    assert item_id in {result["item_id"] for result in by_picture.json()["results"]}


def test_a_result_is_traced_to_its_delivery_and_dag_run_by_one_command(platform: Platform, released: Released) -> None:
    item_id = sorted(_head_items(platform))[0]
    command = [sys.executable, "-m", "vitrine", "lineage", "--catalog", CATALOG_ID, "--item", item_id, "--json"]

    done = subprocess.run(command, cwd=ROOT, env=platform.env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    lineage = json.loads(done.stdout)
    ingests = {run.partition_key: run.run_id for run in released.runs if run.dag_id.endswith(".ingest_catalog")}
    builds = {run.run_id for run in released.runs if run.dag_id.endswith(".build_index")}
    assert lineage["release"]["release_id"] == released.live["release_id"]
    assert lineage["manifest"]["manifest_id"] == released.state.head.manifests[lineage["dt"]]
    assert lineage["delivery"]["delivery_id"] == lineage["manifest"]["delivery_id"]
    assert lineage["delivery_made_by"]["dag_run_id"] == ingests[lineage["dt"]]
    assert lineage["manifest_made_by"]["dag_run_id"] == ingests[lineage["dt"]]
    assert {lineage["index_made_by"]["dag_run_id"]} == builds


def test_a_backfill_of_all_days_gives_the_same_manifests_and_does_not_move_the_live_release(
    platform: Platform, released: Released, run_to_the_end: Callable[[Callable[[], object]], list[DagRun]]
) -> None:
    blocks = _count_blocks(platform, str(released.live["encoder_fingerprint"]))

    runs = run_to_the_end(lambda: _backfill(platform, DAYS[0], DAYS[-1]))

    ingests = [run for run in runs if run.dag_id.endswith(".ingest_catalog")]
    assert sorted(str(run.partition_key) for run in ingests) == list(DAYS)
    state = read_catalog_state(platform.configuration, CATALOG_ID)
    assert state.head == released.state.head
    assert state.live == released.state.live
    assert live_release(platform) == released.live
    assert _count_blocks(platform, str(released.live["encoder_fingerprint"])) == blocks


def test_a_malformed_partition_key_is_refused_when_the_run_is_triggered(platform: Platform, released: Released) -> None:
    with pytest.raises(AirflowError, match=r"400.*yesterday.*2026-11-01"):
        platform.airflow.trigger(f"{CATALOG_ID}.ingest_catalog", partition_key="yesterday")


def test_a_run_without_a_partition_key_fails_at_once_and_says_why(platform: Platform, released: Released) -> None:
    run = platform.airflow.trigger(f"{CATALOG_ID}.ingest_catalog")
    # The run, not only its task: a run that fails later would be taken for one of the next test's.
    wait_for(lambda: not platform.airflow.active_runs([run.dag_id]), what=f"the end of {run.run_id}", every_s=1.0)

    [check] = [task for task in platform.airflow.task_instances(run) if task.task_id == "check_partition_key"]
    assert (check.state, check.try_number) == ("failed", 1)
    assert "no partition key" in explain_failure(platform.airflow, run).splitlines()[0]


def _backfill(platform: Platform, first: str, last: str) -> None:
    subprocess.run(
        [
            *("airflow", "backfill", "create", "--dag-id", f"{CATALOG_ID}.ingest_catalog"),
            *("--from-date", first, "--to-date", last, "--reprocess-behavior", "completed"),
        ],
        env=platform.env,
        check=True,
        capture_output=True,
    )


def _search(platform: Platform, body: dict[str, object]) -> dict[str, list[dict[str, str]]]:
    answer = httpx.post(
        f"{platform.search_url}/v1/search", json={"catalog": CATALOG_ID, **body}, timeout=HTTP_TIMEOUT_S
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _head_items(platform: Platform) -> set[str]:
    ledger = open_ledger(platform.settings)
    try:
        manifests = ledger.partitions.head(CATALOG_ID).manifests
    finally:
        ledger.close()
    return set(
        head_rows(open_object_store(platform.settings), manifests, CATALOG_ID, ["item_id"])["item_id"].to_pylist()
    )


def _count_blocks(platform: Platform, fingerprint: str) -> int:
    ledger = open_ledger(platform.settings)
    try:
        return len(ledger.blocks.committed(catalog_id=CATALOG_ID, fingerprint=fingerprint))
    finally:
        ledger.close()
