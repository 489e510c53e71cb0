"""Commands that start or end services take turns, and whoever waits is told for whom."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local import lifecycle, processes
from deploy.local.configuration import configure
from deploy.local.keeping import wish
from deploy.local.keeping.wish import Turn
from deploy.local.layout import Layout
from deploy.local.records import Record, write_record
from deploy.local.service_states import PlatformState
from deploy.local.summary import advice
from tests.platform_fixture import private_environment
from tests.waiting import is_gone, suspend, wait_for

HOLD = """
import sys
from pathlib import Path
from deploy.local.keeping import wish
from deploy.local.layout import Layout
layout = Layout(Path(sys.argv[2]))
with wish.alone(layout, print) if sys.argv[1] == "alone" else wish.beside_others(layout):
    print("in", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "state")
    configure(layout, private_environment(layout.state_dir))
    return layout


@pytest.fixture
def hold(layout: Layout) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that hold the lock; those that are left end with the test."""
    holding: list[subprocess.Popen[str]] = []
    yield holding
    for process in holding:
        process.kill()
        process.communicate()


def holder(how: str, layout: Layout, holding: list[subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """Starts a process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLD, how, str(layout.state_dir)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    holding.append(process)
    assert process.stdout is not None and process.stdout.readline() == "in\n"
    return process


def test_a_command_is_named_while_it_is_its_turn_and_no_longer(layout: Layout) -> None:
    with wish.alone(layout, print):
        during = wish.whose_turn(layout)

    assert during is not None and during.process.pid == os.getpid()
    assert wish.whose_turn(layout) is None


def test_a_suspended_command_is_named_with_what_lets_it_go_on(
    layout: Layout, hold: list[subprocess.Popen[str]]
) -> None:
    process = holder("alone", layout, hold)
    suspend(process.pid)

    turn = wish.whose_turn(layout)
    with wish.beside_others(layout) as may:
        assert not may

    assert turn is not None
    (line,) = advice(PlatformState((), is_wanted=True, turn=replace(turn, since=time.time() - 60)))
    assert line.startswith("nothing is restarted while another command is at work, for 60 s so far: process")
    assert f"`kill -CONT {process.pid}` lets it go on" in line
    assert not list(advice(PlatformState((), is_wanted=True, turn=Turn(turn.process, since=time.time()))))


def test_a_command_that_was_killed_holds_nobody_up(layout: Layout, hold: list[subprocess.Popen[str]]) -> None:
    process = holder("alone", layout, hold)
    process.kill()
    wait_for(lambda: is_gone(process.pid), what="the end of the command")

    assert wish.whose_turn(layout) is None
    with wish.alone(layout, print):
        assert wish.whose_turn(layout) is not None


def test_going_down_resumes_a_keeper_that_is_suspended_in_the_middle_of_a_restart(
    layout: Layout, hold: list[subprocess.Popen[str]]
) -> None:
    keeper = holder("beside others", layout, hold)
    leader = processes.identify(keeper.pid)
    assert leader is not None
    write_record(layout, Record("keeper", leader, specification="", started_at=0.0, stop_signal=15, port=None))
    suspend(keeper.pid)
    assert keeper.stdin is not None
    keeper.stdin.close()  # its restart ends as soon as it goes on
    keeper.stdin = None
    reported: list[str] = []

    lifecycle.down(layout, reported.append)

    assert reported[0] == "waiting for another command that starts or ends services: a restart"
    assert "ended keeper" in reported
