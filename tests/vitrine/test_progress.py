"""Progress: one line every few seconds elsewhere than on a terminal, a bar there."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

import pytest

from vitrine import progress as module
from vitrine.progress import Show, progress, shown, told, watched


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Terminal]:
    """Standard error is a terminal while the block runs; pytest would take it back from a fixture."""
    monkeypatch.setenv("TERM", "xterm")
    with redirect_stderr(_Terminal()) as stderr:
        yield stderr


def test_work_that_ends_soon_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("shop: rows", total=3) as advance:
        advance(3)

    assert capsys.readouterr().err == ""


def test_long_work_says_how_far_it_is_in_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LINE_EVERY_S", 0.0)

    with progress("shop: rows", total=12_000) as advance:
        advance(1_000)
        advance()

    assert capsys.readouterr().err.splitlines() == [
        "shop: rows: 1,000 of 12,000 (0 s)",
        "shop: rows: 1,001 of 12,000 (0 s)",
    ]


def test_work_without_a_known_end_says_how_much_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LINE_EVERY_S", 0.0)

    with progress("shop: rows") as advance:
        advance(7)

    assert capsys.readouterr().err == "shop: rows: 7 (0 s)\n"


def test_news_is_printed_at_once_and_other_lines_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("steps", total=10) as show:
        show(1, lambda: "step 1")
        show(2, lambda: "step 2: validated", is_news=True)
        show(3, lambda: "step 3")

    assert capsys.readouterr().err == "step 2: validated\n"


def test_a_terminal_shows_a_bar_and_no_lines_but_news(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_terminal(monkeypatch) as terminal, shown("steps", total=10) as show:
        show(4, lambda: "step 4")
        show(5, lambda: "step 5 [0.25]", is_news=True)

    assert "steps" in terminal.getvalue()
    assert "10" in terminal.getvalue()
    assert "step 5 [0.25]" in terminal.getvalue()
    assert "step 4" not in terminal.getvalue()


def test_a_bar_counts_units_and_carries_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_terminal(monkeypatch) as terminal, shown("embed shop", total=8) as show:
        show(3, lambda: "", note="120 images")
        show(None, lambda: "", note="no answer")

    assert "8/8" not in terminal.getvalue()
    assert "3/8" in terminal.getvalue()
    assert "no answer" in terminal.getvalue()


def test_work_that_others_do_is_looked_at_while_the_block_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LINE_EVERY_S", 0.01)
    looked = threading.Event()

    def look(show: Show) -> None:
        show(1, lambda: "one of two")
        looked.set()

    with watched(look, label="embed", total=2):
        assert looked.wait(30)

    assert set(capsys.readouterr().err.splitlines()) == {"one of two"}
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_what_no_bar_measures_is_told_in_lines_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINE_EVERY_S", 0.01)
    asked = threading.Semaphore(0)

    def line() -> str:
        asked.release()
        return "stage 3: 1 of 4 tasks"

    with a_terminal(monkeypatch) as terminal, told(line):
        assert all(asked.acquire(timeout=30) for _ in range(2))

    assert set(terminal.getvalue().splitlines()) == {"stage 3: 1 of 4 tasks"}
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]
