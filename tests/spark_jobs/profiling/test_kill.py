"""A driver that is killed outright leaves nothing that counts, and running again ends in the same parts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from spark_jobs.deliveries.recording import record_delivery
from spark_jobs.profiling.job import run_profile_job
from tests.evidence import tails
from tests.slow_store import SlowStore
from tests.spark_jobs.delivered_folder import DT, committed_parts, declare, small_delivery
from tests.waiting import wait_for
from vitrine.files.scratch import sweep_scratch
from vitrine.items.policy import IngestPolicy, profile_key
from vitrine.ledger import Ledger, tables
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def settings(either_way: Settings) -> Settings:
    """Each test holds for both engines."""
    return either_way


@pytest.fixture
def slow_store(s3_server: dict[str, str]) -> Iterator[SlowStore]:
    """The store, but the answer to a part that is written takes longer than any test."""
    store = SlowStore(s3_server["endpoint_url"], bytes_per_s=1.0)
    store.slow_for = "/part-"
    yield store
    store.close()


def test_a_profile_whose_driver_was_killed_ends_in_the_same_parts(
    settings: Settings,
    ledger: Ledger,
    object_store: ObjectStore,
    catalog_id: str,
    tmp_path: Path,
    local_spark: None,
    slow_store: SlowStore,
) -> None:
    catalog = declare(settings, catalog_id)
    settings = settings.model_copy(update={"pack_rows": 16})
    delivery_id = record_delivery(
        settings, catalog_id=catalog_id, dt=DT, source=str(small_delivery(tmp_path / "day", items=64))
    )
    key = profile_key(catalog_id, delivery_id, IngestPolicy.of(catalog, settings))

    behind = settings.model_copy(update={"s3_endpoint_url": slow_store.url})
    with _started(behind, catalog_id, delivery_id, tmp_path / "log") as driver:
        _wait_for_a_part(slow_store, driver, tmp_path / "log")
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    assert any(object_store.list_keys(f"{catalog_id}/images/"))
    assert list((tmp_path / "tmp").iterdir()) == []
    left = sorted(path.name.split("-")[0] for path in (settings.state_dir / "scratch").iterdir())
    assert left == (["profile"] if settings.spark_in_process_rows else ["profile", "spark"])
    sweep_scratch(settings)
    assert list((settings.state_dir / "scratch").iterdir()) == []
    assert ledger.attempts.committed(scope="profile", key=key) is None
    run_profile_job(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)

    after_the_kill = [part["sha256"] for part in committed_parts(settings, ledger, catalog, delivery_id)]
    packs = list(object_store.list_keys(f"{catalog_id}/images/"))
    with ledger.database.transaction() as connection:
        connection.execute(delete(tables.committed_attempts).where(tables.committed_attempts.c.key == key))
    run_profile_job(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)
    assert [part["sha256"] for part in committed_parts(settings, ledger, catalog, delivery_id)] == after_the_kill
    assert list(object_store.list_keys(f"{catalog_id}/images/")) == packs


def _started(settings: Settings, catalog_id: str, delivery_id: str, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "spark_jobs", "profile", "--catalog", catalog_id, "--dt", DT]
    temporary = log.with_name("tmp")
    temporary.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VITRINE_")}
    return subprocess.Popen(
        [*command, "--delivery-id", delivery_id],
        cwd=ROOT,
        env={**environment, **settings.to_environment(), "TMPDIR": str(temporary)},
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _wait_for_a_part(slow_store: SlowStore, driver: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until the job writes its first part, which the store does not answer: all packs are written by then."""

    def is_asked_for() -> bool:
        assert driver.poll() is None, f"the job ended with {driver.returncode} before its first part\n{tails([log])}"
        return slow_store.asked.is_set()

    wait_for(is_asked_for, what="a part")
