"""The live pointer of a catalog inside a transition: held, asked whether it may move, pinned, moved."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from vitrine.errors import LedgerError, StaleCandidateError, StaleGenerationError
from vitrine.ledger import tables
from vitrine.ledger.promotions import latest_of
from vitrine.ledger.release_order import what_is_newer

Action = Literal["release", "promote", "rollback", "restore"]


@dataclass(frozen=True)
class LivePointer:
    """What a catalog serves now. `generation` grows by one with every move, also with one back.

    `action` made it live. `previous_*` say what was before it: the release, and how it was pinned.
    """

    catalog_id: str
    release_id: str
    previous_release_id: str | None
    generation: int
    head_sequence: int
    action: str
    verified_generation: int
    pinned: bool
    pin_reason: str
    previous_pinned: bool
    previous_pin_reason: str
    activated_at: datetime.datetime

    @property
    def verified(self) -> bool:
        """Whether the search tier has answered from it as it should since it went live."""
        return self.verified_generation == self.generation


def hold_live(connection: Connection, catalog_id: str) -> Any:
    """Returns a catalog's live row, locked until the transaction ends, or None."""
    table = tables.live_pointers
    return connection.execute(select(table).where(table.c.catalog_id == catalog_id).with_for_update()).one_or_none()


def check_may_release(
    connection: Connection, live: Any, *, release_id: str, head_sequence: int, new_encoder: str | None
) -> None:
    """Refuses a candidate that may not replace the live row by itself.

    Raises:
        LedgerError: the catalog is pinned.
        StaleCandidateError: the candidate is older than the live release, or its encoder was replaced.
    """
    if live.pinned:
        raise LedgerError(
            f"catalog {live.catalog_id} is pinned to {live.release_id} "
            f"({live.pin_reason or 'no reason given'}); unpin or promote by hand"
        )
    if head_sequence < live.head_sequence:
        raise StaleCandidateError(
            f"catalog {live.catalog_id}: candidate {release_id} was built at head {head_sequence}, the live "
            f"release at head {live.head_sequence}; promote it by hand if that is meant"
        )
    latest = latest_of(connection, live.catalog_id) if new_encoder else None
    if latest and (latest.fingerprint != new_encoder or latest.state == "superseded"):
        raise StaleCandidateError(
            f"catalog {live.catalog_id}: candidate {release_id} is of encoder {new_encoder}, which is neither "
            f"the live one nor the last promoted ({latest.fingerprint}, {latest.state}); move the alias "
            "`champion` to it, or promote the release by hand"
        )


def pin_of_move(live: Any, *, action: Action, reason: str) -> tuple[bool, str]:
    """Returns whether a move other than a promotion pins the catalog, and why: a restoration pins as it was before."""
    if live and action == "restore":
        return live.previous_pinned, live.previous_pin_reason
    return (True, reason) if action == "rollback" else (False, "")


def pin_of_promotion(
    connection: Connection,
    *,
    catalog_id: str,
    release_id: str,
    head_sequence: int,
    fingerprint: str | None,
    reason: str,
) -> tuple[bool, str]:
    """Returns whether promoting a release pins it, and the pin's reason: why it had to, and what the person said."""
    newer = what_is_newer(
        connection,
        catalog_id=catalog_id,
        release_id=release_id,
        head_sequence=head_sequence,
        fingerprint=fingerprint,
    )
    if newer is None:
        return False, ""
    return True, f"promoted by hand though {newer}" + (f": {reason}" if reason else "")


def move_pointer(
    connection: Connection,
    live: Any,
    *,
    catalog_id: str,
    release_id: str,
    head_sequence: int,
    action: Action,
    pin: tuple[bool, str],
) -> None:
    """Writes a catalog's live row: its first, or over the one that is held as `live`.

    Raises:
        StaleGenerationError: another transaction wrote the first row meanwhile.
    """
    table = tables.live_pointers
    pinned, pin_reason = pin
    values = {
        "release_id": release_id,
        "previous_release_id": live.release_id if live else None,
        "generation": (live.generation if live else 0) + 1,
        "head_sequence": head_sequence,
        "action": action,
        "pinned": pinned,
        "pin_reason": pin_reason,
        "previous_pinned": live.pinned if live else False,
        "previous_pin_reason": live.pin_reason if live else "",
        "activated_at": func.clock_timestamp(),
    }
    statement = insert(table).values(catalog_id=catalog_id, **values)
    if live:
        connection.execute(update(table).where(table.c.catalog_id == catalog_id).values(**values))
    elif connection.execute(statement.on_conflict_do_nothing().returning(table.c.catalog_id)).scalar() is None:
        raise StaleGenerationError(
            f"catalog {catalog_id}: expected no live release, found one that came first; read it and decide again"
        )
