"""PostgreSQL starts wherever the checkout lies, and opens nothing to others."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from deploy.local import postgres, services, supervisor
from deploy.local.configuration import Configuration, configure
from deploy.local.keeping import charge
from deploy.local.layout import Layout
from tests.platform_fixture import private_environment
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Configuration]:
    """A running PostgreSQL of a platform whose folder lies too deep for a Unix socket."""
    layout = Layout(tmp_path_factory.mktemp("deep") / ("a" * 60) / ("b" * 60) / "state")
    configuration = configure(layout, private_environment(layout.state_dir))
    service = services.database(configuration)
    postgres.prepare(layout, configuration.credentials)
    record = supervisor.start(service, configuration)
    try:
        supervisor.wait_until_ready(service, record, layout)
        postgres.make_databases(layout, configuration.credentials)
        yield configuration
    finally:
        supervisor.stop(layout, configuration.credentials.mark, [record])
        postgres.remove_short_socket_dir(layout)
    assert not list(layout.postgres.glob("socket_dir"))


def test_a_deep_checkout_gets_a_short_socket_in_a_closed_folder(deep: Configuration) -> None:
    folder = postgres.socket_dir(deep.layout)

    assert len(str(folder / ".s.PGSQL.5432")) <= postgres.SOCKET_PATH_LIMIT
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder == postgres.socket_dir(deep.layout)


def test_each_database_belongs_to_a_role_of_its_own(deep: Configuration) -> None:
    for database in postgres.DATABASES:
        engine = create_engine(postgres.database_url(deep.layout, deep.credentials, database))

        with engine.connect() as connection:
            row = connection.execute(text("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user"))
            found = row.one()

        assert tuple(found) == (database, False)
        engine.dispose()


def test_a_role_opens_no_database_but_its_own(deep: Configuration) -> None:
    ledger = postgres.database_url(deep.layout, deep.credentials, "vitrine")
    engine = create_engine(ledger.replace("/vitrine?", "/airflow?"))

    with pytest.raises(OperationalError, match="permission denied for database"):
        engine.connect()


def test_databases_that_one_role_owned_are_handed_over_with_all_that_is_in_them(deep: Configuration) -> None:
    with closing(postgres._connect(deep.layout, deep.credentials)) as connection, connection.cursor() as cursor:
        for database in postgres.DATABASES:
            cursor.execute(f"ALTER DATABASE {database} OWNER TO vitrine")
    with closing(postgres._connect(deep.layout, deep.credentials, "mlflow")) as connection:
        connection.cursor().execute("CREATE TABLE runs (id int); ALTER TABLE runs OWNER TO vitrine")

    postgres.make_databases(deep.layout, deep.credentials)

    for database in postgres.DATABASES:
        engine = create_engine(postgres.database_url(deep.layout, deep.credentials, database))
        with engine.connect() as connection:
            owner = text("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()")
            assert connection.execute(owner).scalar_one() == database
            if database == "mlflow":
                connection.execute(text("DROP TABLE runs"))
        engine.dispose()


def test_a_login_without_the_password_is_refused(deep: Configuration) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(host=str(postgres.socket_dir(deep.layout)), user="vitrine", dbname="vitrine", password="guess")


def test_making_the_databases_again_changes_nothing(deep: Configuration) -> None:
    postgres.make_databases(deep.layout, deep.credentials)

    assert postgres.is_ready(deep.layout, deep.credentials)


def test_no_folder_above_the_data_is_opened_to_others(deep: Configuration) -> None:
    data = deep.layout.postgres / "data"

    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE(deep.layout.state_dir.stat().st_mode) == 0o700


def test_a_killed_server_starts_again_though_its_number_belongs_to_a_process_of_its_user(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "state")
    configuration = configure(layout, private_environment(layout.state_dir))
    service, mark = services.database(configuration), configuration.credentials.mark
    postgres.prepare(layout, configuration.credentials)
    record = supervisor.start(service, configuration)
    other = None
    try:
        supervisor.wait_until_ready(service, record, layout)
        os.kill(record.leader.pid, signal.SIGKILL)
        wait_for(lambda: not postgres.server_processes(layout), what="the end of the killed server")
        other = subprocess.Popen(["sleep", "300"], user=(layout.postgres / "data").stat().st_uid)
        for lock in (layout.postgres / "data" / "postmaster.pid", postgres.socket_dir(layout) / ".s.PGSQL.5432.lock"):
            _, *rest = lock.read_text().splitlines(keepends=True)
            lock.write_text("".join([f"{other.pid}\n", *rest]))

        charge.clear_away(service, record, configuration)
        record = supervisor.start(service, configuration)

        supervisor.wait_until_ready(service, record, layout)
    finally:
        supervisor.stop(layout, mark, [record])
        postgres.remove_short_socket_dir(layout)
        if other is not None:
            other.kill()
            other.wait()


@pytest.mark.parametrize("note", ["", ".", "/", "/tmp", "/tmp/other/vitrine-x"])
def test_a_note_of_the_socket_that_names_no_folder_of_ours_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: str
) -> None:
    layout = Layout(tmp_path / "state")
    layout.make()
    (layout.postgres / "socket_dir").write_text(note)
    removed: list[Path] = []
    monkeypatch.setattr(postgres.shutil, "rmtree", lambda path, **_: removed.append(path))

    postgres.remove_short_socket_dir(layout)

    assert removed == []
    assert not (layout.postgres / "socket_dir").exists()
