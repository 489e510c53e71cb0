"""What tests share: a real S3 server, a real PostgreSQL and settings that point at them, with ports of their own."""

from __future__ import annotations

import shutil
import signal
import tempfile
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from benchmarks.temporary_postgres import temporary_postgres
from benchmarks.temporary_s3 import temporary_s3
from tests.evidence import evidence, tails, told
from tests.free_ports import free_port
from tests.settings import settings_of
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

pytest_plugins = [
    "tests.browser",
    "tests.kinds",
    "tests.leftovers",
    "tests.platform_fixture",
    "tests.tiny_clip",
]
ROOT = Path(__file__).resolve().parent.parent


# How long an example takes says how busy the machine is, and nothing of the code.
hypothesis.settings.register_profile("vitrine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("vitrine")


def pytest_configure() -> None:
    """Has a test run that is terminated end what it started, as an interrupted one does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds to a failure what the services say that the test used."""
    report = yield
    if report.failed:
        report.sections += told(getattr(item, "fixturenames", []))
    return report


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running `rclone serve s3`: endpoint and credentials."""
    log = tmp_path_factory.mktemp("s3-log") / "rclone.log"
    with (
        temporary_s3(tmp_path_factory.mktemp("s3"), port=free_port(), log=log) as server,
        evidence("s3_server", lambda: tails([log])),
    ):
        yield server


@pytest.fixture(scope="session")
def postgres_uri() -> Iterator[str]:
    """SQLAlchemy URL prefix of a running PostgreSQL: add a database name with `postgres_uri.format(database=...)`."""
    # A short folder of its own, not pytest's deep one.
    folder = Path(tempfile.mkdtemp(prefix="vtpg-"))
    with temporary_postgres(folder) as uri:
        yield uri
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def database_url(postgres_uri: str) -> str:
    """SQLAlchemy URL of a migrated ledger, shared by the session: use catalog ids of your own."""
    return new_ledger(postgres_uri)


def new_ledger(postgres_uri: str) -> str:
    """Returns the SQLAlchemy URL of another migrated ledger."""
    url = new_database(postgres_uri)
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()
    return url


def new_database(postgres_uri: str) -> str:
    """Makes an empty database and returns its URL."""
    import sqlalchemy

    name = f"t_{uuid.uuid4().hex[:10]}"
    engine = sqlalchemy.create_engine(postgres_uri.format(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return postgres_uri.format(database=name)


@pytest.fixture(scope="module")
def local_spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A local session that all jobs of the module share, so that only one JVM starts."""
    from spark_runtime.session import spark_session

    with spark_session(Settings(state_dir=tmp_path_factory.mktemp("spark")), name="tests"):
        yield


@pytest.fixture
def object_store(s3_server: dict[str, str]) -> ObjectStore:
    """An empty bucket of the test's own."""
    store = ObjectStore(f"test-{uuid.uuid4().hex[:12]}", **s3_server)
    store.ensure_bucket()
    return store


@pytest.fixture
def ledger(database_url: str, object_store: ObjectStore) -> Iterator[Ledger]:
    """The session's ledger, with its journal in this test's bucket."""
    ledger = Ledger(database_url, journal=object_store)
    yield ledger
    ledger.close()


@pytest.fixture
def catalog_id() -> str:
    """A catalog id that no other test uses."""
    return f"c{uuid.uuid4().hex[:10]}"


@pytest.fixture
def settings(tmp_path: Path, s3_server: dict[str, str], object_store: ObjectStore, database_url: str) -> Settings:
    """Settings that point at the test's bucket and the session's ledger, with state in the test's folder."""
    return settings_of(tmp_path / "state", s3_server, object_store, database_url)
