"""The event log in the object store: writing parts, and naming those that a reader reads."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from vitrine.contracts.events import event_schema
from vitrine.contracts.training_sets import EventPart
from vitrine.errors import ContractError
from vitrine.identity import sha256_hex
from vitrine.storage import ObjectStore, keys

if TYPE_CHECKING:
    import pyarrow as pa


def put_event_part(object_store: ObjectStore, *, catalog_id: str, dt: str, events: pa.Table) -> str:
    """Writes events of one day as one part unless it stands already; returns its key, which its content names.

    Args:
        object_store: of the platform.
        catalog_id: whose events.
        dt: the day, in UTC, on which all of them occurred.
        events: with the columns of `event_schema`.

    Raises:
        ContractError: the events have other columns, or occurred on another day.
    """
    data = event_part_bytes(events, dt=dt)
    key = f"{keys.events_prefix(catalog_id, dt)}/part-{sha256_hex(data)[:20]}.parquet"
    if not object_store.exists(key):
        object_store.put_bytes(key, data)
    return key


def event_part_bytes(events: pa.Table, *, dt: str) -> bytes:
    """Returns a part; equal events are equal bytes.

    Raises:
        ContractError: the events have other columns, or occurred on another day.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        events = events.cast(event_schema())
    except (ValueError, pa.ArrowException) as error:
        raise ContractError(f"events of {dt}: expected the columns of the event log, found: {error}") from error
    days = set(pc.strftime(events["occurred_at"], format="%Y-%m-%d").to_pylist())
    if days - {dt}:
        raise ContractError(f"events of {dt}: expected events of that day in UTC, found some of {sorted(days - {dt})}")
    stream = io.BytesIO()
    pq.write_table(events, stream, compression="zstd")
    return stream.getvalue()


def event_parts(object_store: ObjectStore, *, catalog_id: str, events_from: str, events_until: str) -> list[EventPart]:
    """Returns the parts of the days from `events_from` to `events_until`, both included, in order of their keys."""
    # One day's prefix without the day: the listing is in order, and a log has few parts a day.
    prefix = keys.events_prefix(catalog_id, "")
    found = []
    for key, size_bytes, etag in object_store.list_etags(prefix):
        dt = key.removeprefix(prefix).partition("/")[0]
        if events_from <= dt <= events_until and key.endswith(".parquet"):
            found.append(EventPart(dt=dt, key=key, size_bytes=size_bytes, etag=etag))
    return found
