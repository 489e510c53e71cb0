"""The demo catalog's planted faults are found, every one for its own reason, in all three formats; nothing else is."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from examples.demo_catalog.generation import generate_catalog
from spark_jobs.deliveries.recording import record_delivery
from spark_jobs.profiling.job import run_profile_job
from tests.spark_jobs.delivered_folder import candidate_rows, declare
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

DAYS = ("2026-11-01", "2026-11-02", "2026-11-03")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small demo catalog in which every third row is spoiled."""
    folder = tmp_path_factory.mktemp("demo") / "catalog"
    generate_catalog(folder, items=150, fault_share=0.3, kinds=("studio",))
    return folder


@pytest.fixture
def settings(either_way: Settings) -> Settings:
    """Each test holds for both engines."""
    return either_way


@pytest.mark.parametrize("dt", DAYS)
def test_the_rejected_rows_of_a_day_are_those_that_were_planted(
    dt: str,
    demo: Path,
    settings: Settings,
    ledger: Ledger,
    object_store: ObjectStore,
    catalog_id: str,
    local_spark: None,
) -> None:
    catalog = declare(settings, catalog_id)
    planted = pq.read_table(demo / "ground_truth/faults.parquet").to_pylist()
    delivery_id = record_delivery(settings, catalog_id=catalog_id, dt=dt, source=str(demo / f"dt={dt}"))

    run_profile_job(settings, catalog_id=catalog_id, dt=dt, delivery_id=delivery_id)

    found = candidate_rows(settings, ledger, object_store, catalog, delivery_id)
    rejected = {row["row_number"]: row["reject_reason"] for row in found if row["reject_reason"] is not None}
    assert rejected == {row["row_number"]: row["reason"] for row in planted if row["dt"] == dt and row["reason"]}
