"""Whether a release is older than the head: what a build would replace by itself has to be pinned when promoted."""

from __future__ import annotations

import datetime

from sqlalchemy import ColumnElement, Connection, func, literal_column, select

from vitrine.ledger import tables
from vitrine.ledger.promotions import latest_of

_LONG_AGO: ColumnElement[datetime.datetime] = literal_column("timestamptz '-infinity'")


def what_is_newer(
    connection: Connection, *, catalog_id: str, release_id: str, head_sequence: int, fingerprint: str | None
) -> str | None:
    """Says what is newer than a release, or None when it is as new as the head.

    Newer is a head that has moved on, whether or not its build has ended; a release that was offered later from the
    same head, unless its gate refused it; and an encoder under which the catalog is being built. A release that this
    ledger never saw offered, since it was rebuilt, is older than all that it saw. The caller holds the catalog's live
    pointer, so that what is offered meanwhile is offered after the decision.

    Args:
        connection: in the transition's transaction.
        catalog_id, release_id: which release.
        head_sequence: at which it was built.
        fingerprint: of its encoder; None asks nothing about encoders.
    """
    head = _newest_head(connection, catalog_id)
    if head_sequence < head:
        return f"it was built at head {head_sequence}, and the head is {head}"
    table = tables.candidates
    own = select(table.c.offered_at).where((table.c.catalog_id == catalog_id) & (table.c.release_id == release_id))
    later = (
        select(table.c.release_id)
        .where((table.c.catalog_id == catalog_id) & (table.c.release_id != release_id))
        .where((table.c.head_sequence == head_sequence) & (table.c.state != "refused"))
        .where(table.c.offered_at > func.coalesce(own.scalar_subquery(), _LONG_AGO))
        .order_by(table.c.offered_at.desc())
        .limit(1)
    )
    offered = connection.execute(later).scalar()
    if offered is not None:
        return f"{offered} was built later from the same head {head_sequence}"
    promotion = latest_of(connection, catalog_id)
    if promotion and promotion.state == "building" and fingerprint not in (None, promotion.fingerprint):
        return f"the catalog is being built under encoder {promotion.fingerprint}"
    return None


def _newest_head(connection: Connection, catalog_id: str) -> int:
    """Returns the highest head that the ledger has heard of: one that was rebuilt may lack the counter itself."""
    heard = 0
    for table in (tables.heads, tables.candidates, tables.live_pointers):
        query = select(func.max(table.c.head_sequence)).where(table.c.catalog_id == catalog_id)
        heard = max(heard, connection.execute(query).scalar() or 0)
    return heard
