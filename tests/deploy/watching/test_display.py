"""What is drawn of the stages: lines that change in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from deploy.local.watching.display import about, in_words, stage_line
from deploy.local.watching.stages import Progress, Stage
from deploy.local.watching.waiting import Doing

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime.datetime(2026, 11, 30, 12, 0, tzinfo=datetime.UTC)
SCRIPT = """
from time import sleep
from deploy.local.watching.display import display
from deploy.local.watching.stages import Progress, Stage
from deploy.local.watching.waiting import Doing

build, release = Stage("build", Progress.AHEAD), Stage("release", Progress.AHEAD)
with display() as show:
    for words in ("checking pictures", "checking pictures", "validating rows " + "and columns " * 20):
        show([Stage("ingest", Progress.UNDER_WAY, "day 1 of 2", "2026-11-01", (Doing(words),)), build, release])
        sleep(0.4)
    print("something else is said")
    show([Stage("ingest", Progress.DONE, "2 days", seconds=38.0), build, release])
"""


# Another clock for what is drawn: it moves only while the script sleeps.
BY_A_CLOCK_OF_ITS_OWN = """
from types import SimpleNamespace
from deploy.local.watching import display as drawn

slept_s = [0.0]
sleep = slept_s.append
drawn.time = SimpleNamespace(monotonic=lambda: sum(slept_s))
"""


def run_script(stdout: int, script: str = SCRIPT) -> None:
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    subprocess.run([sys.executable, "-c", script], env=environment, stdout=stdout, check=True, timeout=60)


def drawn_on_a_terminal(columns: int) -> str:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    try:
        run_script(follower)
        os.close(follower)
        drawn = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while more := os.read(leader, 65536):
                drawn += more
    finally:
        os.close(leader)
    return drawn.decode()


def screen(drawn: str) -> list[str]:
    """What stands on the screen in the end, of a program that moves up whole lines and clears them."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[\d*[A-Za-z]|\x1b\[\?\d+[hl]|\x1b\[[\d;]*m|\r|\n|[^\x1b\r\n]+", drawn):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif move := re.fullmatch(r"\x1b\[(\d*)A", part):
            row -= int(move[1] or 1)
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not part.startswith("\x1b") and part != "\r":
            lines[row] += part
    return [line.rstrip() for line in lines if line.strip()]


def test_on_a_terminal_a_stage_stays_one_line_and_what_never_began_goes() -> None:
    drawn = drawn_on_a_terminal(80)

    assert screen(drawn) == ["something else is said", "✓ ingest   2 days, 38 s"]
    assert "› ingest   day 1 of 2 (2026-11-01)  checking pictures" in re.sub(r"\x1b\[[\d;]*m", "", drawn)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_line_that_is_too_long_for_the_terminal_ends_in_dots_and_does_not_wrap(columns: int) -> None:
    drawn = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", drawn_on_a_terminal(columns))

    [long] = {line for line in re.split(r"[\r\n]+", drawn) if "validating rows" in line}
    assert len(long) == columns
    assert long.endswith("…")


def test_elsewhere_a_line_is_said_once_until_something_changes(tmp_path: Path) -> None:
    with (tmp_path / "said").open("wb") as said:
        run_script(said.fileno(), BY_A_CLOCK_OF_ITS_OWN + SCRIPT.replace("from time import sleep\n", ""))

    first, second, other, last = (tmp_path / "said").read_text().splitlines()
    assert first == "[0:00] ingest   day 1 of 2 (2026-11-01)  checking pictures"
    assert re.match(r"\[0:00\] ingest   day 1 of 2 \(2026-11-01\)  validating rows", second)
    assert other == "something else is said"
    assert last == "[0:01] ingest   ✓ 2 days, 38 s"


def test_a_stage_under_way_says_for_how_long_and_how_much_longer() -> None:
    began, ends = NOW - datetime.timedelta(seconds=12), NOW + datetime.timedelta(seconds=41)
    stage = Stage("ingest", Progress.UNDER_WAY, "day 2 of 3", "2026-11-02", (Doing("checking pictures", began),), ends)

    assert stage_line(stage, now=NOW) == "day 2 of 3 (2026-11-02)  checking pictures … 12 s, about 40 s left"
    assert stage_line(stage, now=NOW, width=60) == "day 2 of 3  checking pictures … 12 s, about 40 s left"


def test_an_estimate_that_has_passed_is_not_shown() -> None:
    late = Stage(
        "build", Progress.UNDER_WAY, "", "", (Doing("building the index"),), NOW - datetime.timedelta(seconds=1)
    )

    assert stage_line(late, now=NOW) == "building the index"


@pytest.mark.parametrize(
    ("seconds", "says"), [(2, ""), (4, "about 5 s"), (38, "about 40 s"), (94, "about 95 s"), (100, "about 2 min")]
)
def test_an_estimate_is_as_rough_as_it_is_known(seconds: float, says: str) -> None:
    assert about(seconds) == says


@pytest.mark.parametrize(("seconds", "says"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (200, "3 min 20 s")])
def test_a_time_is_said_in_minutes_and_seconds(seconds: float, says: str) -> None:
    assert in_words(seconds) == says


def test_a_day_that_would_act_on_the_terminal_is_written_out_in_its_one_line() -> None:
    stage = Stage("ingest", Progress.UNDER_WAY, "", "2026\x1b[2J\u202e\n", (Doing("checking pictures"),))

    assert stage_line(stage, now=NOW) == r"2026\x1b[2J\u202e\n  checking pictures"
