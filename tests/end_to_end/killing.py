"""Finds the processes of a platform that a test ends without warning, and waits for what a test needs to happen."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from deploy.local import supervisor
from tests.platform_fixture import Platform

Found = TypeVar("Found")

_TASK = re.compile(r"^airflow worker -- [0-9a-f-]{36}$")


def wait_for(look: Callable[[], Found | None], *, what: str, timeout_s: float = 900.0) -> Found:
    """Returns what `look` finds, as soon as it finds it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise TimeoutError(f"{what} was not seen within {timeout_s:.0f} s")


def spark_driver(platform: Platform, verb: str) -> int | None:
    """Returns the JVM of a Spark job of this platform."""
    own = f"VITRINE_STATE_DIR={platform.settings.state_dir}".encode()
    for pid, command in _processes():
        if "org.apache.spark.deploy.SparkSubmit" in command and f"submit.py {verb} " in command and "java" in command:
            try:
                variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if own in variables and not command.startswith("bash"):
                return pid
    return None


def airflow_task(platform: Platform) -> int | None:
    """Returns the process that runs a task of this platform; with one run at a time there is one at most."""
    scheduler = service(platform, "airflow-scheduler")
    for pid, command in _processes():
        if _TASK.match(command.strip()) and _session(pid) == scheduler:
            return pid
    return None


def service(platform: Platform, name: str) -> int:
    """Returns the process of one of the platform's services."""
    return supervisor.read_records(platform.configuration.layout)[name].leader.pid


def kill(pid: int) -> None:
    """Ends a process as a crash or the kernel does, with no chance to clean up; returns when it has ended."""
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_gone(pid), what=f"the end of the killed process {pid}", timeout_s=60)


def is_gone(pid: int) -> bool:
    """Tells whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def _processes() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            yield int(entry.name), command


def _session(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[3])
    except OSError:
        return -1
