"""Deliveries and current manifests: what makes the head of a catalog."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from vitrine.errors import StaleDeliveryError, StaleHeadError
from vitrine.ledger import tables
from vitrine.ledger.database import Database


@dataclass(frozen=True)
class Head:
    """A catalog after all its partitions: `manifests` maps each day to its current manifest, oldest first."""

    catalog_id: str
    head_sequence: int
    manifests: dict[str, str]


@dataclass(frozen=True)
class RecordedDelivery:
    """A day's delivery as the ledger knows it."""

    delivery_id: str
    source: str
    recorded_at: datetime.datetime


class Partitions:
    """The days of each catalog."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_delivery(self, *, catalog_id: str, dt: str, delivery_id: str, source: str) -> bool:
        """Makes a delivery the current one of its day; tells whether that changed anything."""
        table = tables.deliveries
        day = (table.c.catalog_id == catalog_id) & (table.c.dt == dt)
        with self._database.transaction() as connection:
            _lock_head(connection, catalog_id)
            current = connection.execute(select(table.c.delivery_id).where(day & table.c.is_current)).scalar()
            if current == delivery_id:
                return False
            connection.execute(update(table).where(day & table.c.is_current).values(is_current=False))
            connection.execute(
                insert(table)
                .values(catalog_id=catalog_id, dt=dt, delivery_id=delivery_id, source=source, is_current=True)
                .on_conflict_do_update(index_elements=["catalog_id", "dt", "delivery_id"], set_={"is_current": True})
            )
            payload = {"catalog_id": catalog_id, "dt": dt, "delivery_id": delivery_id, "source": source}
            self._database.write_journal(connection, kind="delivery_recorded", payload=payload)
        self._database.export_journal()
        return True

    def current_delivery(self, *, catalog_id: str, dt: str) -> RecordedDelivery | None:
        """Returns the delivery that redoing this day redoes, or None when none was recorded."""
        table = tables.deliveries
        query = select(table.c.delivery_id, table.c.source, table.c.recorded_at).where(
            (table.c.catalog_id == catalog_id) & (table.c.dt == dt) & table.c.is_current
        )
        with self._database.transaction() as connection:
            row = connection.execute(query).one_or_none()
        return RecordedDelivery(row.delivery_id, row.source, row.recorded_at) if row else None

    def publish_manifest(
        self, *, catalog_id: str, dt: str, manifest_id: str, delivery_id: str, judged_by: int | None = None
    ) -> int:
        """Makes a manifest the current one of its day and returns the head sequence.

        The sequence moves only when the day's manifest changed, so redoing a day leaves the head as it was. Nor does an
        old run that failed and is cleared bring an older delivery back.

        Args:
            catalog_id, dt, manifest_id: which manifest.
            delivery_id: that it is of.
            judged_by: sequence of the head by which it was found fit to publish; None publishes on any.

        Raises:
            StaleDeliveryError: the manifest's delivery is not the current one of its day.
            StaleHeadError: the head is no longer the one that it was judged by.
        """
        table = tables.current_manifests
        with self._database.transaction() as connection:
            sequence = _lock_head(connection, catalog_id)
            current = connection.execute(
                select(table.c.manifest_id).where((table.c.catalog_id == catalog_id) & (table.c.dt == dt))
            ).scalar()
            if current == manifest_id:
                return int(sequence)
            _check_current_delivery(connection, catalog_id, dt, delivery_id=delivery_id, manifest_id=manifest_id)
            if judged_by is not None and sequence != judged_by:
                raise StaleHeadError(
                    f"catalog {catalog_id} {dt}: manifest {manifest_id} was judged by head {judged_by}, the head is "
                    f"{sequence} by now; nothing is published: run it again"
                )
            values = {"manifest_id": manifest_id, "delivery_id": delivery_id}
            connection.execute(
                insert(table)
                .values(catalog_id=catalog_id, dt=dt, **values)
                .on_conflict_do_update(index_elements=["catalog_id", "dt"], set_=values)
            )
            connection.execute(
                update(tables.heads)
                .where(tables.heads.c.catalog_id == catalog_id)
                .values(head_sequence=tables.heads.c.head_sequence + 1)
            )
            payload = {"catalog_id": catalog_id, "dt": dt, "head_sequence": sequence + 1, **values}
            self._database.write_journal(connection, kind="manifest_published", payload=payload)
        self._database.export_journal()
        return int(sequence) + 1

    def head(self, catalog_id: str) -> Head:
        """Returns the head: its sequence and the current manifest of every day, both of one moment."""
        table = tables.current_manifests
        with self._database.transaction() as connection:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            sequence = connection.execute(
                select(tables.heads.c.head_sequence).where(tables.heads.c.catalog_id == catalog_id)
            ).scalar()
            rows = connection.execute(
                select(table.c.dt, table.c.manifest_id).where(table.c.catalog_id == catalog_id).order_by(table.c.dt)
            ).all()
        return Head(catalog_id, int(sequence or 0), {row.dt: row.manifest_id for row in rows})


def _lock_head(connection: Connection, catalog_id: str) -> int:
    """Returns the head sequence and holds its row: the lock of the catalog's days, which every writer takes first."""
    connection.execute(insert(tables.heads).values(catalog_id=catalog_id, head_sequence=0).on_conflict_do_nothing())
    locked = select(tables.heads.c.head_sequence).where(tables.heads.c.catalog_id == catalog_id).with_for_update()
    return int(connection.execute(locked).scalar_one())


def _check_current_delivery(
    connection: Connection, catalog_id: str, dt: str, *, delivery_id: str, manifest_id: str
) -> None:
    table = tables.deliveries
    current = connection.execute(
        select(table.c.delivery_id).where((table.c.catalog_id == catalog_id) & (table.c.dt == dt) & table.c.is_current)
    ).scalar()
    if current != delivery_id:
        raise StaleDeliveryError(
            f"catalog {catalog_id} {dt}: manifest {manifest_id} is of delivery {delivery_id}, the day's current "
            f"delivery is {current or 'none'}; what came later is not replaced by what came earlier: ingest the day "
            "again without a source to publish the current delivery, or with one to deliver again"
        )
