"""What a test run starts ends with it, also where its own processes are ended before they have cleaned up.

Interrupted, pytest-xdist gives its processes some seconds, and a platform takes longer to end. Everything that a run
starts inherits a mark in its environment; the process that hands tests out ends last and looks for the mark.
"""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

MARK = "TESTS_RUN"


def pytest_configure(config: pytest.Config) -> None:
    """Marks what this run starts, once for all of its processes."""
    if not hasattr(config, "workerinput"):
        os.environ[MARK] = uuid.uuid4().hex


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends what is left, in the process that hands tests out."""
    if hasattr(config, "workerinput"):
        return
    left = marked(os.environ[MARK])
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=30)


def marked(run: str) -> list[psutil.Process]:
    """Returns the processes that bear the mark of a run, but for this one and those that started it."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in own:
            with suppress(OSError, psutil.NoSuchProcess):
                if f"{MARK}={run}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(psutil.Process(int(entry.name)))
    return found
