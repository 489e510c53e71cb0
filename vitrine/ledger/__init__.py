"""The ledger: everything that changes in place, in PostgreSQL, with each transition journalled to the object store."""

from __future__ import annotations

from vitrine.ledger.attempts import Attempts, CommittedAttempt, EmbeddingBlocks
from vitrine.ledger.database import Database
from vitrine.ledger.live_pointers import LivePointer
from vitrine.ledger.partitions import Head, Partitions, RecordedDelivery
from vitrine.ledger.promotions import CatalogPromotion, Promotion, Promotions
from vitrine.ledger.releases import Candidate, Releases
from vitrine.ledger.replicas import Checks, Replica, Replicas, ReplicaSlot
from vitrine.storage import ObjectStore

__all__ = [
    "Candidate",
    "CatalogPromotion",
    "CommittedAttempt",
    "Head",
    "Ledger",
    "LivePointer",
    "Promotion",
    "RecordedDelivery",
    "Replica",
    "ReplicaSlot",
]


class Ledger:
    """All tables of one ledger, by subject.

    Args:
        url: SQLAlchemy URL of a PostgreSQL database.
        journal: the object store that each transition is copied to; None writes no copies.
    """

    def __init__(self, url: str, *, journal: ObjectStore | None = None) -> None:
        self.database = Database(url, journal=journal)
        self.partitions = Partitions(self.database)
        self.attempts = Attempts(self.database)
        self.blocks = EmbeddingBlocks(self.database)
        self.promotions = Promotions(self.database)
        self.releases = Releases(self.database)
        self.replicas = Replicas(self.database)
        self.checks = Checks(self.database)

    def migrate(self) -> None:
        """Brings the tables to the newest version (Alembic); safe to repeat and to race."""
        from vitrine.ledger.migrations import upgrade

        upgrade(self.database)

    def close(self) -> None:
        """Closes all connections."""
        self.database.close()
