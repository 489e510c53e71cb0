"""The watch brings back a keeper that is dead or hangs, and none that a clock or a suspended machine accuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local import keeper_pulse as pulse
from deploy.local import processes
from deploy.local.keeping import watch, wish
from deploy.local.keeping.history import read_history
from deploy.local.keeping.watch import KEEPER, Watch
from deploy.local.layout import Layout
from deploy.local.processes import identify
from deploy.local.records import Record, write_record
from tests.waiting import suspend, wait_for
from vitrine.processes.crash_loops import Limits


@dataclass
class Kept:
    """A "keeper" that sleeps, an hour old."""

    layout: Layout
    process: subprocess.Popen[bytes]
    record: Record

    def is_alive(self) -> bool:
        return processes.is_alive(self.record.leader)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """A platform that is wanted, whose keeper has just given its pulse."""
    layout = Layout(tmp_path / "state")
    for folder in (layout.records, layout.histories, layout.logs):
        folder.mkdir(parents=True, exist_ok=True)
    wish.write_up(layout)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    leader = identify(process.pid)
    assert leader is not None
    record = Record(
        name=KEEPER, leader=leader, specification="", started_at=time.time() - 3_600, stop_signal=15, port=None
    )
    write_record(layout, record)
    pulse.beat(layout, KEEPER)
    yield Kept(layout, process, record)
    process.kill()
    process.wait()


def test_a_keeper_is_killed_after_many_looks_without_a_pulse_and_for_no_step_of_the_clock(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_HUNG_LOOKS", 5)
    looking, beaten = Watch(kept.layout), kept.layout.histories / f"{KEEPER}.pulse"
    os.utime(beaten, (1.0, 1.0))  # as if the machine had been suspended for years

    looking.round()
    after_the_jump = kept.is_alive()
    for second in range(20):
        os.utime(beaten, (second, second))
        looking.round()
    with_a_pulse = kept.is_alive()
    for _ in range(5):
        looking.round()

    assert (after_the_jump, with_a_pulse) == (True, True)
    wait_for(lambda: not kept.is_alive(), what="the end of the keeper")


def test_starts_that_fail_are_further_and_further_apart_and_then_no_more(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LIMITS", Limits(first_pause_s=0.05, short_lives=4))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1))
    looking = Watch(kept.layout)
    kept.process.send_signal(signal.SIGKILL)
    kept.process.wait()

    wait_for(lambda: looking.round() or read_history(kept.layout, KEEPER).gave_up, what="the end")

    history = read_history(kept.layout, KEEPER)
    times = [death.at for death in history.deaths]
    assert [death.lived_s > 1 for death in history.deaths] == [True, False, False, False, False]
    assert times[3] - times[2] >= 0.1
    assert times[4] - times[3] >= 0.2
    assert "keeper-watch.log" in str(history.gave_up)


def test_a_keeper_that_is_suspended_twice_is_given_two_looks_each_time(kept: Kept) -> None:
    looking = Watch(kept.layout)
    suspend(kept.process.pid)
    looking.round()
    kept.process.send_signal(signal.SIGCONT)  # somebody else's
    wait_for(lambda: not processes.suspended([kept.record.leader]), what="its going on")
    looking.round()
    suspend(kept.process.pid)

    looking.round()
    at_the_first_look = read_history(kept.layout, KEEPER).continued
    looking.round()

    assert at_the_first_look == 0
    assert read_history(kept.layout, KEEPER).continued == 1


def test_what_is_written_after_the_clock_was_set_back_counts(tmp_path: Path) -> None:
    path = tmp_path / "rounds.json"
    path.touch()
    now = time.time()

    assert pulse.was_written(path, since=now + 3_600, within_s=30.0)  # started before the clock was set back
    assert pulse.was_written(path, since=now - 10, within_s=30.0)
    os.utime(path, (now - 20, now - 20))
    assert not pulse.was_written(path, since=now - 10, within_s=30.0)  # by the process before
    assert not pulse.was_written(path, since=now - 100, within_s=10.0)
