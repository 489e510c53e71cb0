"""The demo's event log: made once beside the demo catalog, and put into the store part by part, each once."""

from __future__ import annotations

from pathlib import Path

from vitrine.connections import open_object_store
from vitrine.event_log import put_event_part
from vitrine.settings import Settings


def upload_events(settings: Settings, *, catalog_id: str, folder: Path) -> int:
    """Writes the event log of a demo catalog into the object store; returns how many events it has.

    Args:
        settings: of the platform.
        catalog_id: whose events.
        folder: that the demo catalog was drawn into; one that was drawn without a log gets it now.

    Raises:
        StorageError: the object store does not answer.
    """
    import pyarrow.parquet as pq  # brings pyarrow, which no other command needs

    from examples.demo_catalog.events import write_event_log

    object_store = open_object_store(settings)
    count = 0
    for dt in write_event_log(folder):
        for path in sorted((folder / "events" / f"dt={dt}").glob("*.parquet")):
            events = pq.ParquetFile(path).read()
            put_event_part(object_store, catalog_id=catalog_id, dt=dt, events=events)
            count += events.num_rows
    return count
