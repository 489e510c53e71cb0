"""Promotions: each move of the alias `champion` that was seen, and how far each catalog has come with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from vitrine.errors import LedgerError
from vitrine.ledger import tables
from vitrine.ledger.database import Database

ObservedBy = Literal["webhook", "poll"]
Outcome = Literal["released", "gate_refused"]

_LOCK = 0x70726F6D  # "prom": observers take turns, or two that see one move would both record it


@dataclass(frozen=True)
class Promotion:
    """One move of the alias; `state` is observed, accepted, refused or superseded.

    `sequence` orders the moves. `fingerprint` is None until the version was imported.
    """

    sequence: int
    model_version: str
    fingerprint: str | None
    state: str
    reason: str
    observed_by: str


@dataclass(frozen=True)
class CatalogPromotion:
    """How far a catalog has come with a promotion; `state` is building, released, gate_refused or superseded."""

    catalog_id: str
    sequence: int
    model_version: str
    fingerprint: str
    state: str
    reason: str


class Promotions:
    """Moves of the alias. Only the newest can change; each transition is compare-and-set and safe to repeat."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def observe(self, *, model_version: str, observed_by: ObservedBy) -> Promotion:
        """Records that the alias stands on a version, as MLflow says now; returns the promotion that counts.

        Nothing is written when the newest promotion is of that version already: a move away and back that nobody saw
        has changed nothing. One that was seen is three promotions, of which the last counts.
        """
        table, catalogs = tables.promotions, tables.catalog_promotions
        with self._database.transaction() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            newest = _newest(connection)
            if newest is not None and newest.model_version == model_version:
                return newest
            connection.execute(
                update(table).where(table.c.state.in_(["observed", "accepted"])).values(state="superseded")
            )
            connection.execute(update(catalogs).where(catalogs.c.state == "building").values(state="superseded"))
            values = {"model_version": model_version, "state": "observed", "observed_by": observed_by}
            row = connection.execute(insert(table).values(**values).returning(table)).one()
            payload = {"sequence": row.sequence, "model_version": model_version, "observed_by": observed_by}
            self._database.write_journal(connection, kind="promotion_observed", payload=payload)
        self._database.export_journal()
        return _promotion(row)

    def newest(self) -> Promotion | None:
        """Returns the promotion that counts, or None before the alias was first seen."""
        with self._database.transaction() as connection:
            return _newest(connection)

    def accept(self, sequence: int, *, fingerprint: str, catalog_ids: Iterable[str]) -> bool:
        """Records that the encoder was imported, and that these catalogs build under it.

        Returns:
            Whether the promotion still counts; False when it was superseded or refused meanwhile. Accepting again
            leaves a catalog that has come further where it is.

        Raises:
            LedgerError: it was accepted before under another fingerprint.
        """
        table = tables.promotions
        with self._database.transaction() as connection:
            row = connection.execute(select(table).where(table.c.sequence == sequence).with_for_update()).one_or_none()
            if row is None or row.state not in ("observed", "accepted"):
                return False
            if row.fingerprint not in (None, fingerprint):
                raise LedgerError(
                    f"promotion {sequence} of version {row.model_version}: expected fingerprint {row.fingerprint}, as "
                    f"it was accepted, found {fingerprint}; the version's artifacts have changed: register a new one"
                )
            connection.execute(
                update(table).where(table.c.sequence == sequence).values(state="accepted", fingerprint=fingerprint)
            )
            for catalog_id in catalog_ids:
                opened = connection.execute(
                    insert(tables.catalog_promotions)
                    .values(sequence=sequence, catalog_id=catalog_id, state="building")
                    .on_conflict_do_nothing()
                )
                if opened.rowcount:  # a person has moved the alias: what the gate refused before is tried again
                    refused = tables.refused_encoders
                    of_catalog = (refused.c.catalog_id == catalog_id) & (refused.c.fingerprint == fingerprint)
                    connection.execute(delete(refused).where(of_catalog))
            if row.state == "observed":
                payload = {"sequence": sequence, "fingerprint": fingerprint}
                self._database.write_journal(connection, kind="promotion_accepted", payload=payload)
        self._database.export_journal()
        return True

    def refuse(self, sequence: int, *, reason: str) -> bool:
        """Records that the encoder cannot be used; returns False unless the promotion was waiting for its import."""
        table = tables.promotions
        with self._database.transaction() as connection:
            refused = connection.execute(
                update(table)
                .where((table.c.sequence == sequence) & (table.c.state == "observed"))
                .values(state="refused", reason=reason)
            )
            if refused.rowcount:
                payload = {"sequence": sequence, "reason": reason}
                self._database.write_journal(connection, kind="promotion_refused", payload=payload)
        self._database.export_journal()
        return bool(refused.rowcount)

    def under_way(self, catalog_id: str) -> Promotion | None:
        """Returns the accepted promotion that a catalog still builds under, or None."""
        latest = self.latest_of(catalog_id)
        newest = self.newest()
        if latest is None or newest is None or latest.state != "building" or newest.sequence != latest.sequence:
            return None
        return newest

    def latest_of(self, catalog_id: str) -> CatalogPromotion | None:
        """Returns the last promotion that reached a catalog, whatever has become of it, or None."""
        with self._database.transaction() as connection:
            return latest_of(connection, catalog_id)

    def catalogs_of(self, sequence: int) -> list[CatalogPromotion]:
        """Returns how far each catalog has come with a promotion, by catalog."""
        catalogs = tables.catalog_promotions
        query = _of_catalogs().where(catalogs.c.sequence == sequence).order_by(catalogs.c.catalog_id)
        with self._database.transaction() as connection:
            return [CatalogPromotion(**row) for row in connection.execute(query).mappings()]

    def is_first_encoder(self, promotion: Promotion) -> bool:
        """Tells whether no other encoder was accepted before it: it is the one that the platform began with."""
        table = tables.promotions
        others = (table.c.sequence < promotion.sequence) & (table.c.fingerprint != promotion.fingerprint)
        with self._database.transaction() as connection:
            return connection.execute(select(func.count()).where(others)).scalar_one() == 0

    def was_accepted(self, fingerprint: str) -> bool:
        """Tells whether an encoder was ever promoted and imported."""
        of_encoder = tables.promotions.c.fingerprint == fingerprint
        with self._database.transaction() as connection:
            return connection.execute(select(func.count()).where(of_encoder)).scalar_one() > 0

    def signal(self, source: str) -> None:
        """Records that somebody says that the alias has moved: observers look at MLflow at once."""
        table = tables.promotion_signals
        with self._database.transaction() as connection:
            connection.execute(
                insert(table)
                .values(source=source, count=1)
                .on_conflict_do_update(index_elements=["source"], set_={"count": table.c.count + 1})
            )

    def signals(self) -> int:
        """Returns how many signals there were."""
        with self._database.transaction() as connection:
            return int(
                connection.execute(select(func.coalesce(func.sum(tables.promotion_signals.c.count), 0))).scalar_one()
            )

    def close(
        self, *, catalog_id: str, fingerprint: str, outcome: Outcome, reason: str = "", generation: int | None = None
    ) -> bool:
        """Ends a catalog's promotion; returns False when none is under way there under that fingerprint.

        Args:
            catalog_id, fingerprint: which catalog, under which encoder.
            outcome, reason: how it ended.
            generation: when given, closes only while that is the catalog's live one, which cannot move meanwhile.
        """
        table, catalogs, pointers = tables.promotions, tables.catalog_promotions, tables.live_pointers
        accepted = select(table.c.sequence).where((table.c.state == "accepted") & (table.c.fingerprint == fingerprint))
        with self._database.transaction() as connection:
            if generation is not None:
                live = select(pointers.c.generation).where(pointers.c.catalog_id == catalog_id).with_for_update()
                if connection.execute(live).scalar() != generation:
                    return False
            closed = connection.execute(
                update(catalogs)
                .where((catalogs.c.catalog_id == catalog_id) & (catalogs.c.state == "building"))
                .where(catalogs.c.sequence.in_(accepted))
                .values(state=outcome, reason=reason)
            )
            if closed.rowcount:
                payload = {"catalog_id": catalog_id, "fingerprint": fingerprint, "state": outcome, "reason": reason}
                self._database.write_journal(connection, kind="promotion_closed", payload=payload)
        self._database.export_journal()
        return bool(closed.rowcount)


def latest_of(connection: Connection, catalog_id: str) -> CatalogPromotion | None:
    """Returns the last promotion that reached a catalog, as the transaction sees it."""
    catalogs = tables.catalog_promotions
    query = _of_catalogs().where(catalogs.c.catalog_id == catalog_id).order_by(catalogs.c.sequence.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return CatalogPromotion(**row) if row else None


def _of_catalogs() -> Select[Any]:
    table, catalogs = tables.promotions, tables.catalog_promotions
    columns = (catalogs.c.catalog_id, table.c.sequence, table.c.model_version, table.c.fingerprint)
    return select(*columns, catalogs.c.state, catalogs.c.reason).join(table, table.c.sequence == catalogs.c.sequence)


def _newest(connection: Connection) -> Promotion | None:
    table = tables.promotions
    row = connection.execute(select(table).order_by(table.c.sequence.desc()).limit(1)).one_or_none()
    return _promotion(row) if row else None


def _promotion(row: Any) -> Promotion:
    return Promotion(row.sequence, row.model_version, row.fingerprint, row.state, row.reason, row.observed_by)
