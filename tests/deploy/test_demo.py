"""`make demo` ingests what is not there yet, and nothing twice."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

from deploy.local.configuration import configure
from deploy.local.demo import days_to_ingest
from deploy.local.layout import Layout
from tests.deploy.test_catalog_summary import manifest
from tests.platform_fixture import private_environment
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys


def test_of_a_catalog_with_a_long_history_the_days_of_the_demo_are_not_ingested_again(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog_id: str, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "platform")
    configuration = dataclasses.replace(configure(layout, private_environment(layout.state_dir)), settings=settings)
    for number in range(40):
        dt = str(datetime.date(2026, 11, 1) + datetime.timedelta(days=number))
        day = manifest(dt, accepted=1, rejected=0)
        ledger.partitions.record_delivery(
            catalog_id=catalog_id, dt=dt, delivery_id=day.delivery_id, source=str(tmp_path)
        )
        ledger.partitions.publish_manifest(
            catalog_id=catalog_id, dt=dt, manifest_id=day.manifest_id, delivery_id=day.delivery_id
        )
        key = f"{keys.manifest_prefix(catalog_id, dt, day.manifest_id)}/manifest.json"
        object_store.put_bytes(key, day.to_bytes())
    (tmp_path / "moved").mkdir()
    days = {"2026-11-01": str(tmp_path), "2026-11-02": str(tmp_path / "moved"), "2027-01-01": str(tmp_path)}

    waiting = days_to_ingest(configuration, catalog_id, days)

    assert list(waiting) == ["2026-11-02", "2027-01-01"]
