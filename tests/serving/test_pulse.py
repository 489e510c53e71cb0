"""Which worker hangs: one that a signal holds, one of which nothing moves, one that works without end; never one that
waits for a core."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import pulse
from serving.pulse import ANSWERING, LOADING, LOOK_S, AnswerWatch, HangWatch, has_work, last_pulse, start_pulse
from serving.readiness import read_readiness
from serving.replica_folder import ReplicaFolder, WorkerReport
from tests.waiting import suspend, wait_for
from vitrine.processes.table import ProcessIdentity, identify

DEADLOCKED = "import threading; lock = threading.Lock(); lock.acquire(); print('here', flush=True); lock.acquire()"
BUSY = "print('here', flush=True)\nwhile True: pass"


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that end with the test."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def _start(started: list[subprocess.Popen[str]], code: str) -> ProcessIdentity:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    started.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    found = identify(process.pid)
    assert found is not None
    if code == DEADLOCKED:
        # It says that it is here a moment before it takes the lock that never comes.
        wait_for(lambda: not has_work(found), what="the deadlock")
    return found


def _looks(path: Path, identity: ProcessIdentity, *, count: int, pause_s: float = LOOK_S) -> list[str]:
    watch, said = HangWatch(path), []
    for _ in range(count):
        said.append(watch.look(identity))
        time.sleep(pause_s)
    return said


def test_a_worker_of_which_nothing_moves_hangs(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    identity = _start(started, DEADLOCKED)
    (tmp_path / "0.pulse").touch()

    said = _looks(tmp_path / "0.pulse", identity, count=40)

    assert "none of its threads does anything" in said[-1]
    assert said[:15] == [""] * 15


def test_a_worker_that_works_and_gives_no_pulse_for_seconds_does_not_hang(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    identity = _start(started, BUSY)
    (tmp_path / "0.pulse").touch()

    assert _looks(tmp_path / "0.pulse", identity, count=40) == [""] * 40


def test_a_worker_that_works_and_gives_no_pulse_for_minutes_hangs(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    identity = _start(started, BUSY)
    (tmp_path / "0.pulse").touch()
    looks = round(ANSWERING.busy_s / LOOK_S)

    # Looks are counted, not seconds, so they may follow each other at once.
    said = _looks(tmp_path / "0.pulse", identity, count=looks + 1, pause_s=0.0)

    assert said[:-1] == [""] * looks
    assert "whatever its threads do" in said[-1]


@pytest.mark.parametrize(
    ("code", "limit_s", "why"),
    [(DEADLOCKED, LOADING.idle_s, "none of its threads does anything"), (BUSY, LOADING.busy_s, "whatever")],
)
def test_a_worker_that_loads_without_end_hangs(
    tmp_path: Path, started: list[subprocess.Popen[str]], code: str, limit_s: float, why: str
) -> None:
    identity = _start(started, code)
    looks = round(limit_s / LOOK_S)

    said = _looks(tmp_path / "0.pulse", identity, count=looks, pause_s=0.0)

    assert said[:-1] == [""] * (looks - 1)
    assert "has not loaded" in said[-1]
    assert why in said[-1]


@pytest.mark.parametrize(
    ("code", "silent_s", "state"), [(DEADLOCKED, 60, "silent"), (BUSY, 60, "running"), (BUSY, 130, "silent")]
)
def test_readiness_tells_a_worker_that_waits_for_a_core_from_one_that_hangs(
    tmp_path: Path, started: list[subprocess.Popen[str]], code: str, silent_s: int, state: str
) -> None:
    identity = _start(started, code)
    folder = ReplicaFolder(tmp_path, "one")
    folder.make()
    folder.write_worker(WorkerReport(index=0, pid=identity.pid, started=identity.started, accepting=True))
    folder.worker_pulse(0).touch()
    long_ago = time.time() - silent_s
    os.utime(folder.worker_pulse(0), (long_ago, long_ago))

    [worker] = read_readiness(folder).workers

    assert worker.state == state


def test_a_worker_that_loads_has_no_pulse_yet_and_does_not_hang(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    identity = _start(started, DEADLOCKED)

    assert _looks(tmp_path / "0.pulse", identity, count=30) == [""] * 30


def test_a_stopped_worker_hangs_after_a_second_and_one_that_goes_on_before_that_does_not(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    identity = _start(started, BUSY)
    suspend(identity.pid)
    watch = HangWatch(tmp_path / "0.pulse")

    before = [watch.look(identity) for _ in range(4)]
    os.kill(identity.pid, signal.SIGCONT)
    wait_for(lambda: watch.look(identity) == "", what="a look at a process that runs")
    os.kill(identity.pid, signal.SIGSTOP)
    after = wait_for(lambda: watch.look(identity), what="a hung worker")

    assert before == [""] * 4
    assert "SIGSTOP" in after


def test_a_pulse_comes_while_the_loop_turns_and_ends_when_every_answering_thread_is_stuck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "STUCK_ANSWER_S", 0.0)
    goes_on, entered = threading.Event(), threading.Barrier(3)

    def app(environ: object, start_response: object) -> list[bytes]:
        entered.wait()
        goes_on.wait()
        return []

    watch = AnswerWatch(app, threads=2)
    loop, path = asyncio.new_event_loop(), tmp_path / "0.pulse"
    turning = threading.Thread(target=loop.run_forever, daemon=True)
    turning.start()
    start_pulse(path, loop, watch)
    first = wait_for(lambda: last_pulse(path), what="a pulse")
    wait_for(lambda: last_pulse(path) != first, what="another pulse")
    answering = [threading.Thread(target=watch, args=({}, None), name=f"answer-{n}", daemon=True) for n in range(2)]
    for thread in answering:
        thread.start()

    entered.wait()
    stuck = watch.is_stuck()
    goes_on.set()
    for thread in answering:
        thread.join()

    assert stuck
    assert not watch.is_stuck()
    loop.call_soon_threadsafe(loop.stop)
    turning.join()
