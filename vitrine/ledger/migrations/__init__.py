"""Alembic migrations of the ledger, run by `Ledger.migrate` or `python -m vitrine migrate`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from vitrine.ledger.database import Database

_LOCK = 7_461_002  # any constant: one migration at a time


def upgrade(database: Database) -> None:
    """Upgrades to the newest version under an advisory lock."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with database.engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
