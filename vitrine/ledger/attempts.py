"""One unique insert commits exactly one of several racing attempts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from vitrine.contracts.datasets import EmbeddingBlock
from vitrine.ledger import tables
from vitrine.ledger.database import Database
from vitrine.storage import keys


@dataclass(frozen=True)
class CommittedAttempt:
    """The attempt that won; `result` is what it left for the next step."""

    attempt_id: str
    result: dict[str, Any]


class Attempts:
    """Attempts at pieces of work that are named by scope and key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def commit(self, *, scope: str, key: str, attempt_id: str, result: dict[str, Any]) -> CommittedAttempt:
        """Commits an attempt unless another was first; returns the one that stands."""
        table = tables.committed_attempts
        with self._database.transaction() as connection:
            connection.execute(
                insert(table)
                .values(scope=scope, key=key, attempt_id=attempt_id, result=result)
                .on_conflict_do_nothing()
            )
        standing = self.committed(scope=scope, key=key)
        if standing is None:  # only a deletion by hand between the two statements can do this
            return self.commit(scope=scope, key=key, attempt_id=attempt_id, result=result)
        return standing

    def replace(
        self, *, scope: str, key: str, replaced: str, attempt_id: str, result: dict[str, Any]
    ) -> CommittedAttempt:
        """Puts an attempt in the place of the attempt `replaced`, unless another did first; returns what stands."""
        table = tables.committed_attempts
        with self._database.transaction() as connection:
            connection.execute(
                update(table)
                .where((table.c.scope == scope) & (table.c.key == key) & (table.c.attempt_id == replaced))
                .values(attempt_id=attempt_id, result=result, committed_at=func.now())
            )
        return self.commit(scope=scope, key=key, attempt_id=attempt_id, result=result)

    def committed(self, *, scope: str, key: str) -> CommittedAttempt | None:
        """Returns the committed attempt, or None."""
        table = tables.committed_attempts
        query = select(table.c.attempt_id, table.c.result).where((table.c.scope == scope) & (table.c.key == key))
        with self._database.transaction() as connection:
            row = connection.execute(query).one_or_none()
        return CommittedAttempt(row.attempt_id, row.result) if row else None

    def committed_below(self, *, scope: str, key_prefix: str) -> dict[str, CommittedAttempt]:
        """Returns the committed attempts whose keys begin with a prefix, by key."""
        table = tables.committed_attempts
        below = (table.c.scope == scope) & table.c.key.startswith(key_prefix, autoescape=True)
        query = select(table.c.key, table.c.attempt_id, table.c.result).where(below).order_by(table.c.key)
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return {row.key: CommittedAttempt(row.attempt_id, row.result) for row in rows}


class BlockCounts(NamedTuple):
    """How many blocks are committed, and how many images are in them."""

    blocks: int
    images: int


class EmbeddingBlocks:
    """Committed embedding blocks: one for each unit and encoder."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def commit(self, *, catalog_id: str, fingerprint: str, block: EmbeddingBlock) -> bool:
        """Commits a block unless its unit has one already; tells whether this one won."""
        table = tables.embedding_blocks
        statement = (
            insert(table)
            .values(
                catalog_id=catalog_id,
                fingerprint=fingerprint,
                **block.model_dump(exclude={"key"}),
            )
            .on_conflict_do_nothing()
            .returning(table.c.block_id)
        )
        with self._database.transaction() as connection:
            return connection.execute(statement).scalar() is not None

    def counts(self, *, catalog_id: str, fingerprint: str) -> BlockCounts:
        """Returns how many blocks, with how many images, a catalog has under an encoder."""
        table = tables.embedding_blocks
        query = select(func.count(), func.coalesce(func.sum(table.c.rows), 0)).where(
            (table.c.catalog_id == catalog_id) & (table.c.fingerprint == fingerprint)
        )
        with self._database.transaction() as connection:
            blocks, images = connection.execute(query).one()
        return BlockCounts(int(blocks), int(images))

    def committed(
        self, *, catalog_id: str, fingerprint: str, source_ids: Iterable[str] | None = None
    ) -> dict[tuple[str, int], EmbeddingBlock]:
        """Returns the committed blocks by (source_id, row_group), of some sources or of all."""
        table = tables.embedding_blocks
        query = select(table).where((table.c.catalog_id == catalog_id) & (table.c.fingerprint == fingerprint))
        if source_ids is not None:
            query = query.where(table.c.source_id.in_(sorted(set(source_ids))))
        with self._database.transaction() as connection:
            rows = connection.execute(query).mappings().all()
        return {
            (row["source_id"], row["row_group"]): EmbeddingBlock(
                key=keys.embedding_block(catalog_id, fingerprint, row["block_id"]),
                **{name: row[name] for name in ("block_id", "source_id", "row_group", "rows", "engine", "precision")},
            )
            for row in rows
        }
