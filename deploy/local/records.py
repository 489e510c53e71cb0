"""What is remembered of each service that was started; standard library only, for the small process that reads it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

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
    """Returns the record of one service, or None if it was not started or was ended since.

    A record that cannot be read is none: its service counts as stopped, and what runs of it is found by its mark.
    """
    try:
        body = json.loads(_path(layout, name).read_text(encoding="utf-8"))
        return Record(**{**body, "leader": ProcessIdentity(**body["leader"])})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def is_unreadable(layout: Layout, name: str) -> bool:
    """Tells whether a service has a record that cannot be read."""
    return _path(layout, name).exists() and read_record(layout, name) is None


def forget_record(layout: Layout, name: str) -> None:
    """Removes the record of a service that was ended."""
    _path(layout, name).unlink(missing_ok=True)


def write_record(layout: Layout, record: Record) -> None:
    """Remembers a service that was started, instead of the one of this name before it."""
    write_private(_path(layout, record.name), json.dumps(asdict(record)))


def _path(layout: Layout, name: str) -> Path:
    return layout.records / f"{name}.json"
