"""Embedding jobs as processes of their own, for tests that kill them, and what they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from tests.spark_jobs.candidate_rows import DT, ProfiledDelivery, jpeg, write_manifest
from tests.waiting import wait_for
from vitrine.catalogs import Catalog
from vitrine.ledger import Ledger, tables
from vitrine.settings import Settings
from vitrine.storage import ObjectStore
from vitrine.storage.object_file import open_parquet

_DRIVER = """
import sys
from spark_jobs.embedding import run_embed_job
from vitrine.settings import Settings
catalog_id, fingerprint, dt, manifest_id = sys.argv[1:]
run_embed_job(Settings.from_environment(), catalog_id=catalog_id, fingerprint=fingerprint, manifests={dt: manifest_id})
"""


def many_units(settings: Settings, catalog_id: str, *, units: int) -> tuple[str, str, dict[str, bytes]]:
    """Writes a manifest of small units in one pack; returns the ids of both and the images by SHA-256."""
    delivery = ProfiledDelivery(Catalog(catalog_id=catalog_id))
    for number in range(2 * units):
        delivery.accept(f"item-{number}", image=jpeg(number))
    manifest_id = write_manifest(settings, delivery, pack_rows=2)
    [pack_id] = {row["pack_id"] for row in delivery.rows}
    return manifest_id, pack_id, {row["image_sha256"]: row["image"] for row in delivery.rows}


@contextmanager
def held_unit(ledger: Ledger, catalog_id: str, fingerprint: str, pack_id: str) -> Iterator[None]:
    """Keeps jobs from their end until the block ends, however quick they are.

    Another attempt at the first unit of a pack stands in the ledger, which has neither committed nor given up: whoever
    commits the unit waits for it. In the end it gives up.
    """
    row = {"catalog_id": catalog_id, "fingerprint": fingerprint, "source_id": pack_id, "row_group": 0}
    with ledger.database.engine.connect() as connection:
        connection.execute(
            insert(tables.embedding_blocks).values(**row, block_id="held", rows=1, engine="none", precision="none")
        )
        yield
        connection.rollback()


@contextmanager
def running_driver(
    settings: Settings, catalog_id: str, fingerprint: str, manifest_id: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts the job in a process group of its own, and ends what is left of it."""
    driver = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, catalog_id, fingerprint, DT, manifest_id],
        env={**os.environ, **settings.to_environment(), "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        start_new_session=True,
    )
    try:
        yield driver
    finally:
        with suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()


def wait_for_blocks(
    ledger: Ledger, catalog_id: str, fingerprint: str, *, at_least: int, driver: subprocess.Popen[bytes]
) -> None:
    """Waits until a job has committed so many blocks."""

    def are_there() -> bool:
        assert driver.poll() is None, f"the job ended with status {driver.returncode}; its output is above"
        return len(ledger.blocks.committed(catalog_id=catalog_id, fingerprint=fingerprint)) >= at_least

    wait_for(are_there, what=f"{at_least} blocks")


def stored_vectors(
    object_store: ObjectStore, ledger: Ledger, catalog_id: str, fingerprint: str
) -> dict[str, tuple[np.ndarray, float]]:
    """Returns every committed vector and norm by embedding_key; each key must stand in one block only."""
    found: dict[str, tuple[np.ndarray, float]] = {}
    for block in ledger.blocks.committed(catalog_id=catalog_id, fingerprint=fingerprint).values():
        table = open_parquet(object_store, block.key).read()
        assert table.num_rows == block.rows
        for name, vector, norm in zip(*(table.column(index).to_pylist() for index in range(3)), strict=True):
            assert name not in found
            found[name] = (np.asarray(vector, dtype=np.float32), norm)
    return found
