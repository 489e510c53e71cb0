"""What is remembered of each service that was started; standard library only, for the small process that reads it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from deploy.local.layout import Layout, write_private
from deploy.local.processes import ProcessIdentity


@dataclass(frozen=True)
class Record:
    """What is remembered of a service that was started.

    Attributes:
        name: of the service.
        leader: its process, which leads a session of its own.
        specification: hash of its command and environment; another one means that a restart is due.
        started_at: Unix seconds.
        stop_signal: number of the signal that ends it in order.
        port: that it listens on, or None.
    """

    name: str
    leader: ProcessIdentity
    specification: str
    started_at: float
    stop_signal: int
    port: int | None


def read_records(layout: Layout) -> dict[str, Record]:
    """Returns the record of each service that was started and not ended since."""
    found = (read_record(layout, path.stem) for path in sorted(layout.records.glob("*.json")))
    return {record.name: record for record in found if record is not None}


def read_record(layout: Layout, name: str) -> Record | None:
    """Returns the record of one service, or None if it was not started or was ended since."""
    try:
        body = json.loads((layout.records / f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Record(**{**body, "leader": ProcessIdentity(**body["leader"])})


def write_record(layout: Layout, record: Record) -> None:
    """Remembers a service that was started, instead of the one of this name before it."""
    write_private(layout.records / f"{record.name}.json", json.dumps(asdict(record)))
