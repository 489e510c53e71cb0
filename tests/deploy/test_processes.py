"""Processes are known by pid and start, and everything of a platform is found, whatever it did to hide."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local import processes
from deploy.local.processes import MARK, ProcessIdentity
from tests.waiting import wait_for

Spawn = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Starts `sleep` or a Python program in a session of its own; all are killed at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str | None = None, *, mark: str = "", cwd: Path = tmp_path) -> subprocess.Popen[bytes]:
        command = ["sleep", "300"] if code is None else [sys.executable, "-c", code]
        process = subprocess.Popen(command, cwd=cwd, env={**os.environ, MARK: mark}, start_new_session=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for_file(path: Path) -> str:
    return wait_for(lambda: path.exists() and path.read_text(), what=f"what is written to {path}", every_s=0.02)


def alive(pid: int) -> ProcessIdentity:
    identity = processes.identify(pid)
    assert identity is not None
    return identity


def test_a_pid_that_was_used_again_is_another_process(spawn: Spawn) -> None:
    process = spawn()
    before = ProcessIdentity(process.pid, alive(process.pid).started + "0")

    assert processes.is_alive(alive(process.pid))
    assert not processes.is_alive(before)


def test_a_killed_process_is_dying_from_the_moment_it_was_killed(spawn: Spawn, tmp_path: Path) -> None:
    for index in range(4):
        mark = tmp_path / f"grown-{index}"
        # A process with much memory stays in the table for as long as the kernel takes it apart.
        grow = f"memory = b'x' * 300_000_000; open({str(mark)!r}, 'w').write('yes'); import time; time.sleep(300)"
        process = spawn(grow)
        wait_for_file(mark)
        identity = alive(process.pid)
        before = processes.is_dying(identity)

        process.kill()

        assert (before, processes.is_dying(identity)) == (False, True)


def test_a_killed_process_is_dying_while_it_shows_neither_the_signal_nor_that_it_exits(spawn: Spawn) -> None:
    process = spawn()
    identity = alive(process.pid)
    # include/uapi/linux/ptrace.h; a killed process halts where it begins to exit, and holds there.
    libc, seize, detach, at_exit = ctypes.CDLL(None, use_errno=True), 0x4206, 17, 0x40
    if libc.ptrace(seize, process.pid, None, ctypes.c_void_p(at_exit)):
        pytest.skip(f"this machine lets nobody trace a process: {os.strerror(ctypes.get_errno())}")
    before = processes.is_dying(identity)

    process.kill()
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    held = processes.is_dying(identity)
    libc.ptrace(detach, process.pid, None, None)

    assert os.WIFSTOPPED(status)
    assert (before, held) == (False, True)
    assert process.wait(timeout=300) == -signal.SIGKILL


def test_a_process_may_bear_a_name_of_any_bytes(spawn: Spawn, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    name = "bytes([0xE2, 0x82, 0x29, 0x20, 0x53, 0x0A, 0xFF])"  # half a character, bracket, blank, line break
    set_name = 15  # include/uapi/linux/prctl.h
    spawn(
        f"import ctypes, time; ctypes.CDLL(None).prctl({set_name}, {name}, 0, 0, 0)\n"
        f"open({str(ready)!r}, 'w').write('yes'); time.sleep(300)",
        mark="mark-of-this-test",
    )
    wait_for_file(ready)

    (found,) = processes.find_ours([], mark="mark-of-this-test", state_dir=tmp_path / "elsewhere")

    assert processes.tree_of(found) == {found}
    assert not processes.is_dying(found)
    processes.send([found], signal.SIGKILL)
    assert processes.is_dying(found)


def test_a_signal_to_a_process_that_ended_does_not_reach_its_successor(spawn: Spawn, tmp_path: Path) -> None:
    successor = spawn()
    recorded = ProcessIdentity(successor.pid, "another boot:1")

    processes.send([recorded], signal.SIGKILL)

    assert processes.find_ours([recorded], mark="no such mark", state_dir=tmp_path / "elsewhere") == set()
    assert successor.poll() is None


def test_a_process_that_ended_is_not_alive_even_while_nobody_took_its_status(spawn: Spawn) -> None:
    process = spawn()
    identity = alive(process.pid)

    process.kill()

    assert processes.wait_for_end([identity], timeout_s=300) == set()


def test_children_that_left_the_session_are_found_by_descent(spawn: Spawn, tmp_path: Path) -> None:
    code = (
        "import os, subprocess, time, pathlib\n"
        f"child = subprocess.Popen(['sleep', '300'], start_new_session=True, env={{}})\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "time.sleep(300)\n"
    )
    leader = spawn(code)
    child = alive(int(wait_for_file(tmp_path / "pid")))

    found = processes.find_ours([alive(leader.pid)], mark="no such mark", state_dir=tmp_path)

    processes.send([child], signal.SIGKILL)
    assert child in found


def test_orphans_of_a_killed_leader_are_found_by_session_and_by_mark(spawn: Spawn, tmp_path: Path) -> None:
    code = (
        "import os, subprocess, time, pathlib\n"
        "kept = subprocess.Popen(['sleep', '300'], env={})\n"
        "left = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        f"pathlib.Path({str(tmp_path / 'pids')!r}).write_text(f'{{kept.pid}} {{left.pid}}')\n"
        "time.sleep(300)\n"
    )
    leader = spawn(code, mark="mark-of-this-test")
    recorded = alive(leader.pid)
    orphans = {alive(int(pid)) for pid in wait_for_file(tmp_path / "pids").split()}
    leader.kill()
    leader.wait()

    found = processes.find_ours([recorded], mark="mark-of-this-test", state_dir=tmp_path)

    processes.send(orphans, signal.SIGKILL)
    assert found == orphans


def test_a_session_that_took_over_a_recorded_number_is_left_alone(spawn: Spawn, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stranger = spawn(cwd=elsewhere)
    recorded = ProcessIdentity(stranger.pid, "an earlier process:1")

    found = processes.find_ours([recorded], mark="no such mark", state_dir=tmp_path / "state")

    assert found == set()


def test_the_caller_is_never_among_what_is_ended(tmp_path: Path) -> None:
    found = processes.find_ours([alive(os.getpid())], mark="no such mark", state_dir=tmp_path)

    assert os.getpid() not in {identity.pid for identity in found}
