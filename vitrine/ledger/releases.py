"""Candidates, the live pointer of each catalog with its generation, pins, and the history of activations."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from vitrine.errors import LedgerError, StaleGenerationError
from vitrine.ledger import tables
from vitrine.ledger.database import Database
from vitrine.ledger.live_pointers import (
    Action,
    LivePointer,
    check_may_release,
    hold_live,
    move_pointer,
    pin_of_move,
    pin_of_promotion,
)


@dataclass(frozen=True)
class Candidate:
    """A release that a build offered; `state` is offered, approved or refused."""

    catalog_id: str
    release_id: str
    head_sequence: int
    state: str
    detail: dict[str, Any]


class Releases:
    """Candidates, live pointers and their history."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def offer(self, *, catalog_id: str, release_id: str, head_sequence: int) -> None:
        """Records a candidate; one that was offered before keeps its state and takes the newer head."""
        table = tables.candidates
        with self._database.transaction() as connection:
            hold_live(connection, catalog_id)  # a promotion sees this candidate, or comes before it
            connection.execute(
                insert(table)
                .values(
                    catalog_id=catalog_id,
                    release_id=release_id,
                    head_sequence=head_sequence,
                    offered_at=func.clock_timestamp(),
                    state="offered",
                    detail={},
                )
                .on_conflict_do_update(
                    index_elements=["catalog_id", "release_id"],
                    set_={
                        "head_sequence": func.greatest(table.c.head_sequence, head_sequence),
                        "offered_at": func.clock_timestamp(),
                    },
                )
            )
            # When the newest head builds to the release that is live already, the live pointer is as new as that head.
            connection.execute(
                update(tables.live_pointers)
                .where(
                    (tables.live_pointers.c.catalog_id == catalog_id)
                    & (tables.live_pointers.c.release_id == release_id)
                )
                .values(head_sequence=func.greatest(tables.live_pointers.c.head_sequence, head_sequence))
            )
            payload = {"catalog_id": catalog_id, "release_id": release_id, "head_sequence": head_sequence}
            self._database.write_journal(connection, kind="candidate_offered", payload=payload)
        self._database.export_journal()

    def judge(self, *, catalog_id: str, release_id: str, approved: bool, detail: dict[str, Any]) -> None:
        """Records the gate's verdict on a candidate."""
        table = tables.candidates
        state = "approved" if approved else "refused"
        with self._database.transaction() as connection:
            connection.execute(
                update(table)
                .where((table.c.catalog_id == catalog_id) & (table.c.release_id == release_id))
                .values(state=state, detail=detail)
            )
            payload = {"catalog_id": catalog_id, "release_id": release_id, "state": state}
            self._database.write_journal(connection, kind="candidate_judged", payload=payload)
        self._database.export_journal()

    def candidate(self, *, catalog_id: str, release_id: str) -> Candidate | None:
        """Returns a candidate, or None."""
        table = tables.candidates
        query = select(table).where((table.c.catalog_id == catalog_id) & (table.c.release_id == release_id))
        with self._database.transaction() as connection:
            row = connection.execute(query).one_or_none()
        return Candidate(catalog_id, release_id, row.head_sequence, row.state, row.detail) if row else None

    def live(self, catalog_id: str) -> LivePointer | None:
        """Returns what a catalog serves, or None before its first release."""
        return self.all_live().get(catalog_id)

    def all_live(self) -> dict[str, LivePointer]:
        """Returns the live pointer of every catalog that has one."""
        with self._database.transaction() as connection:
            rows = connection.execute(select(tables.live_pointers)).mappings().all()
        return {row["catalog_id"]: LivePointer(**row) for row in rows}

    def activate(
        self,
        *,
        catalog_id: str,
        release_id: str,
        head_sequence: int,
        expected_generation: int,
        action: Action,
        actor: str,
        reason: str = "",
        new_encoder: str | None = None,
        fingerprint: str | None = None,
    ) -> LivePointer:
        """Moves the live pointer by compare-and-set; `expected_generation` is 0 before the first release.

        `release` refuses a candidate older than the live one, and a pinned catalog; `promote`, `rollback` and
        `restore` are a person's or the protocol's word and do not. A rollback pins; a promotion unpins, unless what it
        promotes is older than the head: the next build would undo it, so it pins. A restoration pins as it was before
        what it takes back. What goes live is not verified until `mark_verified` says so.

        `new_encoder` is the candidate's fingerprint where the live release has another: `release` refuses it when a
        later promotion has replaced it, in the transaction that moves the pointer, so that a build which was under way
        when the alias moved on cannot win. `fingerprint` is the release's own, for `promote`.

        Raises:
            StaleGenerationError: somebody else moved the pointer since it was read.
            StaleCandidateError: the candidate is older than the live release, or its encoder was replaced.
            LedgerError: the catalog is pinned.
        """
        with self._database.transaction() as connection:
            live = hold_live(connection, catalog_id)
            generation = live.generation if live else 0
            if generation != expected_generation:
                raise StaleGenerationError(
                    f"catalog {catalog_id}: expected generation {expected_generation}, found {generation}; "
                    "another activation came first: read the live release and decide again"
                )
            if live and action == "release":
                check_may_release(
                    connection, live, release_id=release_id, head_sequence=head_sequence, new_encoder=new_encoder
                )
            pinned, pin_reason = pin_of_move(live, action=action, reason=reason)
            if action == "promote":
                pinned, pin_reason = pin_of_promotion(
                    connection,
                    catalog_id=catalog_id,
                    release_id=release_id,
                    head_sequence=head_sequence,
                    fingerprint=fingerprint,
                    reason=reason,
                )
            move_pointer(
                connection,
                live,
                catalog_id=catalog_id,
                release_id=release_id,
                head_sequence=head_sequence,
                action=action,
                pin=(pinned, pin_reason),
            )
            history = {
                "catalog_id": catalog_id,
                "release_id": release_id,
                "previous_release_id": live.release_id if live else None,
                "generation": generation + 1,
                "action": action,
                "actor": actor,
                "reason": reason,
            }
            connection.execute(insert(tables.activations).values(**history))
            self._database.write_journal(
                connection, kind="activation", payload={**history, "head_sequence": head_sequence, "pinned": pinned}
            )
        self._database.export_journal()
        pointer = self.live(catalog_id)
        if pointer is None:
            raise LedgerError(f"catalog {catalog_id}: the live pointer vanished after it was written")
        return pointer

    def mark_verified(self, *, catalog_id: str, generation: int) -> bool:
        """Records that the search tier answers from a generation; tells whether that one is still live."""
        table = tables.live_pointers
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(table)
                .where((table.c.catalog_id == catalog_id) & (table.c.generation == generation))
                .values(verified_generation=generation)
                .returning(table.c.release_id)
            ).scalar()
            if changed is None:
                return False
            payload = {"catalog_id": catalog_id, "release_id": changed, "generation": generation}
            self._database.write_journal(connection, kind="verification", payload=payload)
        self._database.export_journal()
        return True

    def set_pin(self, *, catalog_id: str, pinned: bool, actor: str, reason: str) -> None:
        """Pins a catalog to its live release, or unpins it; that stands, also when the release is taken back.

        Raises:
            LedgerError: the catalog has no live release.
        """
        table = tables.live_pointers
        pin_reason = reason if pinned else ""
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(table)
                .where(table.c.catalog_id == catalog_id)
                .values(pinned=pinned, pin_reason=pin_reason, previous_pinned=pinned, previous_pin_reason=pin_reason)
                .returning(table.c.release_id)
            ).scalar()
            if changed is None:
                raise LedgerError(f"catalog {catalog_id} has no live release; there is nothing to pin")
            payload = {"catalog_id": catalog_id, "pinned": pinned, "actor": actor, "reason": reason}
            self._database.write_journal(connection, kind="pin", payload=payload)
        self._database.export_journal()

    def pin_promoted(
        self, *, catalog_id: str, release_id: str, fingerprint: str, actor: str, reason: str
    ) -> LivePointer | None:
        """Pins or unpins a release that is live already as promoting it would; returns the pointer while it is live."""
        table = tables.live_pointers
        with self._database.transaction() as connection:
            live = hold_live(connection, catalog_id)
            if live is None or live.release_id != release_id:
                return None
            pinned, pin_reason = pin_of_promotion(
                connection,
                catalog_id=catalog_id,
                release_id=release_id,
                head_sequence=live.head_sequence,
                fingerprint=fingerprint,
                reason=reason,
            )
            if (live.pinned, live.pin_reason) != (pinned, pin_reason):
                pin = {"pinned": pinned, "pin_reason": pin_reason}
                before = {"previous_pinned": pinned, "previous_pin_reason": pin_reason}
                connection.execute(update(table).where(table.c.catalog_id == catalog_id).values(**pin, **before))
                payload = {"catalog_id": catalog_id, "pinned": pinned, "actor": actor, "reason": pin_reason}
                self._database.write_journal(connection, kind="pin", payload=payload)
        self._database.export_journal()
        return self.live(catalog_id)

    def history(self, catalog_id: str, *, limit: int = 50) -> list[dict[str, Any]]:
        """Returns the newest activations first."""
        table = tables.activations
        query = select(table).where(table.c.catalog_id == catalog_id).order_by(table.c.sequence.desc()).limit(limit)
        with self._database.transaction() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def request_staging(self, *, catalog_id: str, release_id: str) -> None:
        """Asks every replica to hold a release ready in its idle slot."""
        table = tables.stagings
        values = {"release_id": release_id, "requested_at": func.clock_timestamp()}
        with self._database.transaction() as connection:
            connection.execute(
                insert(table)
                .values(catalog_id=catalog_id, **values)
                .on_conflict_do_update(index_elements=["catalog_id"], set_=values)
            )

    def clear_staging(self, catalog_id: str, *, release_id: str) -> None:
        """Withdraws a staging request, unless another has replaced it."""
        table = tables.stagings
        with self._database.transaction() as connection:
            connection.execute(
                delete(table).where((table.c.catalog_id == catalog_id) & (table.c.release_id == release_id))
            )

    def stagings(self) -> dict[str, tuple[str, datetime.datetime]]:
        """Returns (release_id, requested_at) of every open staging request by catalog."""
        with self._database.transaction() as connection:
            rows = connection.execute(select(tables.stagings)).all()
        return {row.catalog_id: (row.release_id, row.requested_at) for row in rows}

    def refuse_encoder(self, *, catalog_id: str, fingerprint: str, reason: str) -> None:
        """Records that an encoder failed its gate, so that it is not tried again by itself."""
        with self._database.transaction() as connection:
            connection.execute(
                insert(tables.refused_encoders)
                .values(catalog_id=catalog_id, fingerprint=fingerprint, reason=reason)
                .on_conflict_do_nothing()
            )
            payload = {"catalog_id": catalog_id, "fingerprint": fingerprint, "reason": reason}
            self._database.write_journal(connection, kind="encoder_refused", payload=payload)
        self._database.export_journal()

    def accept_encoder(self, *, catalog_id: str, fingerprint: str) -> None:
        """Takes back that an encoder was refused, if it was."""
        table = tables.refused_encoders
        with self._database.transaction() as connection:
            connection.execute(
                delete(table).where((table.c.catalog_id == catalog_id) & (table.c.fingerprint == fingerprint))
            )
            payload = {"catalog_id": catalog_id, "fingerprint": fingerprint}
            self._database.write_journal(connection, kind="encoder_accepted", payload=payload)
        self._database.export_journal()

    def refused_encoders(self, catalog_id: str) -> dict[str, str]:
        """Returns refused fingerprints with their reasons."""
        table = tables.refused_encoders
        with self._database.transaction() as connection:
            rows = connection.execute(select(table).where(table.c.catalog_id == catalog_id)).all()
        return {row.fingerprint: row.reason for row in rows}
