"""The demo's event log goes into the store once."""

from __future__ import annotations

from pathlib import Path

from deploy.local.demo_events import upload_events
from examples.demo_catalog import generate_catalog
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


def test_a_second_demo_leaves_the_event_log_as_it_is(
    settings: Settings, object_store: ObjectStore, catalog_id: str, tmp_path: Path
) -> None:
    folder = tmp_path / "catalog"
    generate_catalog(folder, items=40, kinds=("studio",), include_faults=False)
    first = upload_events(settings, catalog_id=catalog_id, folder=folder)
    before = list(object_store.list_etags(f"{catalog_id}/events/"))

    second = upload_events(settings, catalog_id=catalog_id, folder=folder)

    assert first == second > 1000
    assert list(object_store.list_etags(f"{catalog_id}/events/")) == before
    assert len(before) == 28
