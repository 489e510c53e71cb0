"""One database behind the ledger: transactions, wrapped errors, and the journal that leaves with each transition."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from vitrine.errors import LedgerError, SettingsError
from vitrine.identity import canonical_json
from vitrine.ledger import tables
from vitrine.storage import ObjectStore, keys


class Database:
    """Opens the engine at first use, so that making it connects nowhere; picklable, thread-safe."""

    def __init__(self, url: str, *, journal: ObjectStore | None) -> None:
        if not url:
            raise SettingsError(
                "VITRINE_DATABASE_URL is empty; run `make up` to start a local ledger, or name a PostgreSQL database"
            )
        self.url = url
        self._journal_store = journal
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "_journal_store": self._journal_store}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._engine = None
        self._lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine; its pool is small, since stages hold a connection only for one transition."""
        if self._engine is None:
            with self._lock:
                if self._engine is None:
                    self._engine = create_engine(self.url, pool_size=2, max_overflow=4, pool_pre_ping=True)
        return self._engine

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yields a connection in a transaction that commits at the end, or rolls back on any error.

        Raises:
            LedgerError: the database cannot be reached or refused a statement.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise LedgerError(f"ledger at {self.engine.url.render_as_string()}: {error}") from error

    def write_journal(self, connection: Connection, *, kind: str, payload: dict[str, Any]) -> None:
        """Writes one transition to the outbox, in the transition's own transaction."""
        connection.execute(insert(tables.journal).values(kind=kind, payload=payload))

    def export_journal(self) -> int:
        """Copies what is in the outbox to the object store, returns how many entries; safe to race and to repeat."""
        if self._journal_store is None:
            return 0
        waiting = select(tables.journal).where(~tables.journal.c.exported).order_by(tables.journal.c.sequence)
        with self.transaction() as connection:
            entries = connection.execute(waiting.limit(1000)).mappings().all()
        for entry in entries:
            document = {
                "sequence": entry["sequence"],
                "kind": entry["kind"],
                "payload": entry["payload"],
                "written_at": entry["written_at"].isoformat(),
            }
            self._journal_store.put_bytes(keys.journal_entry(entry["sequence"]), canonical_json(document))
        if entries:
            with self.transaction() as connection:
                done = [entry["sequence"] for entry in entries]
                connection.execute(
                    update(tables.journal).where(tables.journal.c.sequence.in_(done)).values(exported=True)
                )
        return len(entries)

    def close(self) -> None:
        """Closes all connections."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
