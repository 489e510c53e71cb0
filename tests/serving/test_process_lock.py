"""The lock of a process: who holds it is the kernel's word, and nobody inherits it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import process_lock
from serving.process_lock import ProcessLock, lock_holder, lock_note
from tests.waiting import wait_for
from vitrine.processes.table import ProcessIdentity, identify

ROOT = Path(__file__).resolve().parents[2]
HOLDS = """
import subprocess, sys, time
from pathlib import Path
from serving import process_lock
from serving.process_lock import ProcessLock
lock = ProcessLock(Path(sys.argv[1]))
child = subprocess.Popen(["sleep", "600"], close_fds=False, stdout=subprocess.DEVNULL)
print(lock.acquire("a note"), child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, int]]:
    """A process that holds the lock of a file, and has a child."""
    path = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    taken, child = process.stdout.readline().split()
    assert taken == "True"
    yield process, path, int(child)
    process.kill()
    process.wait()
    os.kill(int(child), signal.SIGKILL)


def test_everybody_can_tell_who_holds_a_lock_and_what_was_noted(
    holder: tuple[subprocess.Popen[str], Path, int],
) -> None:
    process, path, _ = holder

    assert lock_holder(path) == identify(process.pid)
    assert lock_note(path) == "a note"
    assert not ProcessLock(path).acquire()


def test_a_killed_holder_gives_the_lock_back_though_its_child_lives_on(
    holder: tuple[subprocess.Popen[str], Path, int],
) -> None:
    process, path, child = holder

    process.kill()

    wait_for(lambda: lock_holder(path) is None, what="the end of the lock")
    assert identify(child) is not None


def test_a_lock_that_nobody_ever_took_has_no_holder(tmp_path: Path) -> None:
    assert lock_holder(tmp_path / "none") is None
    assert lock_note(tmp_path / "none") == ""


def test_a_holder_that_is_on_its_way_out_is_told_as_such_and_nobody_waits_for_its_end(
    holder: tuple[subprocess.Popen[str], Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, path, _ = holder
    monkeypatch.setattr(process_lock, "identify", lambda _: None)  # a zombie whose threads are still being ended

    assert lock_holder(path) == ProcessIdentity(process.pid, "ending")
