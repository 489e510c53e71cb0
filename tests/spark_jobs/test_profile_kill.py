"""A driver that is killed outright leaves nothing that counts, and running again ends in the same parts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import delete, insert

from spark_jobs.deliveries import record_delivery
from spark_jobs.profiling import run_profile_job
from tests.evidence import tails
from tests.spark_jobs.delivered_folder import DT, committed_parts, declare, small_delivery
from tests.waiting import wait_for
from vitrine.ingest_policy import IngestPolicy, profile_key
from vitrine.ledger import Ledger, tables
from vitrine.scratch import sweep_scratch
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def settings(either_way: Settings) -> Settings:
    """Each test holds for both engines."""
    return either_way


def test_a_profile_whose_driver_was_killed_ends_in_the_same_parts(
    settings: Settings,
    ledger: Ledger,
    object_store: ObjectStore,
    catalog_id: str,
    tmp_path: Path,
    local_spark: None,
) -> None:
    catalog = declare(settings, catalog_id)
    settings = settings.model_copy(update={"pack_rows": 16})
    delivery_id = record_delivery(
        settings, catalog_id=catalog_id, dt=DT, source=str(small_delivery(tmp_path / "day", items=64))
    )
    key = profile_key(catalog_id, delivery_id, IngestPolicy.of(catalog, settings))

    with _held(ledger, key), _started(settings, catalog_id, delivery_id, tmp_path / "log") as driver:
        _wait_for_a_pack(object_store, catalog_id, driver, tmp_path / "log")
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
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


@contextmanager
def _held(ledger: Ledger, key: str) -> Iterator[None]:
    """Keeps jobs from their commit until the block ends: an attempt is there that neither commits nor gives up."""
    with ledger.database.engine.connect() as connection:
        connection.execute(
            insert(tables.committed_attempts).values(scope="profile", key=key, attempt_id="held", result={})
        )
        yield
        connection.rollback()


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


def _wait_for_a_pack(object_store: ObjectStore, catalog_id: str, driver: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until the job has written its first pack: rows are judged, and no part is written yet."""

    def is_there() -> bool:
        assert driver.poll() is None, f"the job ended with {driver.returncode} before its first pack\n{tails([log])}"
        return any(object_store.list_keys(f"{catalog_id}/images/"))

    wait_for(is_there, what="a pack")
