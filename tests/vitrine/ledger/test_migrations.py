"""A ledger is made by frozen migrations, an older one is upgraded with its rows, and another database is refused."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

import vitrine.ledger.migrations
from tests.conftest import new_database
from vitrine.errors import LedgerError
from vitrine.ledger import Ledger, tables

OLDER = Path(__file__).parent / "older"  # frozen SQL of the migrations that were there before the frozen one
REVISIONS = ("0001", "0002", "0003", "0004")


@pytest.fixture
def empty_ledger(postgres_uri: str) -> Iterator[Ledger]:
    ledger = Ledger(new_database(postgres_uri))
    yield ledger
    ledger.close()


def test_the_migrations_make_the_tables_that_the_code_declares(empty_ledger: Ledger) -> None:
    empty_ledger.migrate()

    assert _differences(empty_ledger) == []


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_older_ledger_becomes_todays_and_keeps_its_rows(empty_ledger: Ledger, revision: str) -> None:
    _make_older(empty_ledger, revision)
    before = _rows(empty_ledger)

    empty_ledger.migrate()

    assert _differences(empty_ledger) == []
    after = _rows(empty_ledger)
    kept = {name: [{column: row[column] for column in rows[0]} for row in after[name]] for name, rows in before.items()}
    assert kept == before
    live = empty_ledger.releases.live("shop")
    assert (live.action, live.verified, live.previous_pinned, live.previous_pin_reason) == (
        "promote",
        True,
        True,
        "on purpose",
    )


def test_a_ledger_of_todays_tables_that_calls_itself_older_is_upgraded_too(empty_ledger: Ledger) -> None:
    _make_older(empty_ledger, "0004")  # the first migrations made whatever tables the code of the day declared
    with empty_ledger.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")

    empty_ledger.migrate()

    assert _differences(empty_ledger) == []
    assert empty_ledger.promotions.newest().model_version == "3"


def test_migrations_that_race_make_the_tables_once(empty_ledger: Ledger) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(empty_ledger.migrate) for _ in range(4)]:
            done.result()

    assert _differences(empty_ledger) == []


@pytest.mark.parametrize("revision", ["0999", "1975ea83b712"])
def test_a_version_that_the_code_does_not_know_is_refused(empty_ledger: Ledger, revision: str) -> None:
    empty_ledger.migrate()
    _stamp(empty_ledger, revision)

    with pytest.raises(
        LedgerError, match=rf"version {revision}, this code knows 0001 to .*update Vitrine, or name another"
    ):
        empty_ledger.migrate()


def test_two_versions_at_once_are_refused(empty_ledger: Ledger) -> None:
    empty_ledger.migrate()
    with empty_ledger.database.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('0002')")

    with pytest.raises(LedgerError, match=r"version 0002, "):
        empty_ledger.migrate()


@pytest.mark.parametrize("with_empty_version", [False, True])
def test_a_database_that_holds_other_things_is_refused_and_left_alone(
    empty_ledger: Ledger, with_empty_version: bool
) -> None:
    with empty_ledger.database.transaction() as connection:
        connection.exec_driver_sql("CREATE TABLE orders (id BIGINT)")
        if with_empty_version:
            connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
    before = set(_rows(empty_ledger))

    with pytest.raises(LedgerError, match=r"holds tables \(orders\) but does not say .*expected an empty database"):
        empty_ledger.migrate()

    assert set(_rows(empty_ledger)) == before


def test_a_ledger_that_lacks_what_no_migration_adds_is_refused_whole(empty_ledger: Ledger) -> None:
    _make_older(empty_ledger, "0002")
    with empty_ledger.database.transaction() as connection:
        connection.exec_driver_sql("ALTER TABLE candidates DROP COLUMN detail")
        connection.exec_driver_sql("DROP TABLE refused_encoders")

    with pytest.raises(
        LedgerError, match=r"column candidates.detail is missing, table refused_encoders is missing; noth"
    ):
        empty_ledger.migrate()

    with empty_ledger.database.transaction() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "0002"


def test_tables_of_others_beside_a_ledger_do_not_stop_it(empty_ledger: Ledger) -> None:
    empty_ledger.migrate()
    with empty_ledger.database.transaction() as connection:
        connection.exec_driver_sql("CREATE TABLE notes (id BIGINT)")
        connection.exec_driver_sql("CREATE INDEX by_hand ON candidates (state)")

    empty_ledger.migrate()


def test_no_migration_reads_what_the_code_declares_today() -> None:
    folder = Path(vitrine.ledger.migrations.__file__).parent
    imported = {
        (path.name, name)
        for path in [*(folder / "versions").glob("*.py"), folder / "older.py", folder / "env.py"]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        if name and name.startswith("vitrine")
    }

    assert imported == set()


def _make_older(ledger: Ledger, revision: str) -> None:
    with ledger.database.transaction() as connection:
        for step in REVISIONS[: REVISIONS.index(revision) + 1]:
            connection.exec_driver_sql((OLDER / f"{step}.sql").read_text())


def _stamp(ledger: Ledger, revision: str) -> None:
    with ledger.database.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")


def _rows(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Returns the rows of every table but Alembic's, sorted."""
    with ledger.database.transaction() as connection:
        names = sorted(set(inspect(connection).get_table_names()) - {"alembic_version"})
        rows = {name: connection.exec_driver_sql(f"SELECT * FROM {name}").mappings().all() for name in names}
    return {name: sorted((dict(row) for row in found), key=str) for name, found in rows.items()}


def _differences(ledger: Ledger) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True}
    with ledger.database.transaction() as connection:
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, tables.metadata)
