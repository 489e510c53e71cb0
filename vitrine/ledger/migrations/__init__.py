"""Alembic migrations of the ledger, run by `Ledger.migrate` or `python -m vitrine migrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from vitrine.errors import LedgerError
from vitrine.ledger.database import Database
from vitrine.ledger.migrations.older import OLDER, bring_to_first_tables
from vitrine.ledger.tables import metadata

_LOCK = 7_461_002  # any constant: one migration at a time


def upgrade(database: Database) -> None:
    """Upgrades to the newest version under an advisory lock, whole or not at all.

    Raises:
        LedgerError: the database cannot be reached, holds something other than a ledger, is of a version that this code
            does not know, or still lacks something that no migration adds.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    with database.transaction() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        revision = _revision(connection, config)
        if revision in OLDER:
            bring_to_first_tables(connection, revision=revision)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        _refuse_unless_whole(connection, revision)


def _revision(connection: Connection, config: Config) -> str | None:
    """Returns the revision that a database says it is of, None for an empty one."""
    where = f"database {connection.engine.url.database}"
    found = sorted(inspect(connection).get_table_names())
    others = [name for name in found if name != "alembic_version"]
    revisions = MigrationContext.configure(connection).get_current_heads() if "alembic_version" in found else ()
    if not revisions and not others:
        return None
    if not revisions:
        raise LedgerError(
            f"{where} holds tables ({_listed(others)}) but does not say which version of the ledger they are; expected "
            "an empty database or a ledger that Vitrine made: name one in VITRINE_DATABASE_URL, or restore the table "
            "alembic_version from a backup"
        )
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if len(revisions) > 1 or revisions[0] not in known.union(OLDER):
        raise LedgerError(
            f"{where} is of ledger version {', '.join(sorted(revisions))}, this code knows {OLDER[0]} to {max(known)}; "
            "it was made by a newer Vitrine or is another application's: update Vitrine, or name another database in "
            "VITRINE_DATABASE_URL"
        )
    return revisions[0]


def _refuse_unless_whole(connection: Connection, revision: str | None) -> None:
    """Refuses a ledger that lacks tables, columns or indexes, or has other types; what it has besides may stay."""
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    lacking = [what for difference in compare_metadata(context, metadata) for what in _lacking(difference)]
    if lacking:
        raise LedgerError(
            f"database {connection.engine.url.database} was of ledger version {revision or 'none'} and after all "
            f"migrations differs from what this code expects: {_listed(sorted(lacking))}; nothing was changed: "
            "migrate it with the Vitrine that made it first, or restore a backup"
        )


def _lacking(difference: Any) -> list[str]:
    """Names what one difference of Alembic's says that the database lacks."""
    if isinstance(difference, list):  # changes of one column
        return [what for change in difference for what in _lacking(change)]
    kind, *rest = difference
    if kind == "add_table":
        return [f"table {rest[0].name} is missing"]
    if kind == "add_column":
        return [f"column {rest[1]}.{rest[2].name} is missing"]
    if kind in ("add_index", "add_constraint"):
        return [f"index or constraint {rest[0].name} of {rest[0].table.name} is missing"]
    if kind in ("modify_type", "modify_nullable"):
        return [f"column {rest[1]}.{rest[2]} is {rest[4]}, expected {rest[5]}"]
    return []


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
