"""Finds the processes of a platform that a test ends without warning."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from sqlalchemy import create_engine, text

from deploy.local import supervisor
from tests.platform_fixture import Platform
from tests.waiting import is_gone, wait_for
from vitrine.files.whole import replace_file

_TASK = re.compile(r"^airflow worker -- [0-9a-f-]{36}$")


def spark_driver(platform: Platform, verb: str) -> int | None:
    """Returns the JVM of a Spark job of this platform."""
    own = f"VITRINE_STATE_DIR={platform.settings.state_dir}".encode()
    for pid, command in _processes():
        if (
            "org.apache.spark.deploy.SparkSubmit" in command
            and f"submit.py spark_jobs {verb} " in command
            and "java" in command
        ):
            try:
                variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if own in variables and not command.startswith("bash"):
                return pid
    return None


def running_task(platform: Platform) -> int | None:
    """Returns the process of the Airflow task that began last on this platform, while it runs."""
    scheduler = service(platform, "airflow-scheduler")
    tasks = [pid for pid, command in _processes() if _TASK.match(command.strip()) and scheduler in _above(pid)]
    return max(tasks, default=None)


@contextmanager
def every_row_to_spark(platform: Platform) -> Iterator[None]:
    """Has tasks that begin in the block start Spark, however few rows they have."""
    env_file = platform.configuration.layout.env_file
    before = env_file.read_bytes()
    replace_file(env_file, before + b"VITRINE_SPARK_IN_PROCESS_ROWS=0\n", private=True)  # a task may be reading it
    try:
        yield
    finally:
        replace_file(env_file, before, private=True)


@contextmanager
def no_block_committed(platform: Platform) -> Iterator[Callable[[], bool]]:
    """Keeps embedding blocks from being committed in the block; yields what tells whether a task waits to."""
    engine = create_engine(platform.settings.database_url.get_secret_value())
    waiting = text(
        "SELECT count(*) FROM pg_locks WHERE relation = 'embedding_blocks'::regclass"
        " AND mode = 'RowExclusiveLock' AND NOT granted"  # an insert's, not autovacuum's
    )
    try:
        with engine.connect() as connection:  # left without a commit: rolled back
            connection.execute(text("LOCK TABLE embedding_blocks IN SHARE MODE"))
            yield lambda: bool(connection.execute(waiting).scalar_one())
    finally:
        engine.dispose()


def service(platform: Platform, name: str) -> int:
    """Returns the process of one of the platform's services."""
    return supervisor.read_records(platform.configuration.layout)[name].leader.pid


def kill(pid: int) -> None:
    """Ends a process as a crash or the kernel does, with no chance to clean up; returns when it has ended."""
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_gone(pid), what=f"the end of the killed process {pid}")


def _processes() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name), _command(int(entry.name))


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _above(pid: int) -> list[int]:
    try:
        return [process.pid for process in psutil.Process(pid).parents()]
    except psutil.NoSuchProcess:
        return []
