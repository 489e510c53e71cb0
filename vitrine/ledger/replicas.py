"""Replica states and series of check results."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from vitrine.ledger import tables
from vitrine.ledger.database import Database

SlotState = Literal["empty", "loading", "ready", "serving", "failed"]


@dataclass(frozen=True)
class Replica:
    """A search replica, with the age of its last heartbeat by the database's clock."""

    replica_id: str
    url: str
    heartbeat_age_s: float


@dataclass(frozen=True)
class ReplicaSlot:
    """What one slot of one replica holds; `updated_at` is by the database's clock."""

    replica_id: str
    catalog_id: str
    slot: str
    release_id: str | None
    state: str
    detail: str
    updated_at: datetime.datetime


class Replicas:
    """Heartbeats and slots of the search replicas."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def heartbeat(self, *, replica_id: str, url: str) -> None:
        """Tells that a replica lives."""
        values = {"url": url, "heartbeat_at": func.clock_timestamp()}
        with self._database.transaction() as connection:
            connection.execute(
                insert(tables.replicas)
                .values(replica_id=replica_id, **values)
                .on_conflict_do_update(index_elements=["replica_id"], set_=values)
            )

    def replicas(self) -> list[Replica]:
        """Returns every replica that was ever seen, by id."""
        table = tables.replicas
        age = func.extract("epoch", func.clock_timestamp() - table.c.heartbeat_at)
        query = select(table.c.replica_id, table.c.url, age.label("age")).order_by(table.c.replica_id)
        with self._database.transaction() as connection:
            return [Replica(row.replica_id, row.url, float(row.age)) for row in connection.execute(query)]

    def report_slot(
        self,
        *,
        replica_id: str,
        catalog_id: str,
        slot: str,
        release_id: str | None,
        state: SlotState,
        detail: str = "",
    ) -> None:
        """Tells what a slot holds."""
        values = {"release_id": release_id, "state": state, "detail": detail, "updated_at": func.clock_timestamp()}
        with self._database.transaction() as connection:
            connection.execute(
                insert(tables.replica_slots)
                .values(replica_id=replica_id, catalog_id=catalog_id, slot=slot, **values)
                .on_conflict_do_update(index_elements=["replica_id", "catalog_id", "slot"], set_=values)
            )

    def slots(self, catalog_id: str) -> list[ReplicaSlot]:
        """Returns every replica's slots of a catalog."""
        table = tables.replica_slots
        query = select(table).where(table.c.catalog_id == catalog_id).order_by(table.c.replica_id, table.c.slot)
        with self._database.transaction() as connection:
            return [ReplicaSlot(**row) for row in connection.execute(query).mappings()]


class Checks:
    """Series of check results: recall, golden queries, quality; append-only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self,
        *,
        catalog_id: str,
        check_name: str,
        subject_id: str,
        value: float | None,
        passed: bool | None,
        detail: dict[str, Any] | None = None,
    ) -> None:
        """Appends one result."""
        with self._database.transaction() as connection:
            connection.execute(
                insert(tables.check_results).values(
                    catalog_id=catalog_id,
                    check_name=check_name,
                    subject_id=subject_id,
                    value=value,
                    passed=passed,
                    detail=detail or {},
                )
            )

    def series(self, *, catalog_id: str, check_name: str, limit: int = 100) -> list[dict[str, Any]]:
        """Returns the newest results first."""
        table = tables.check_results
        query = (
            select(table)
            .where((table.c.catalog_id == catalog_id) & (table.c.check_name == check_name))
            .order_by(table.c.sequence.desc())
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]
