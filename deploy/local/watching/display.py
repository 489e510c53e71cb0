"""Shows the stages: one line each, redrawn in place on a terminal; elsewhere a plain line for each change."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.text import Text

from deploy.local.terminal_text import printable
from deploy.local.watching.stages import Progress, Stage
from deploy.local.watching.waiting import Doing

Show = Callable[[Sequence[Stage]], None]

_LINE_EVERY_S = 10.0
_REDRAWN_A_SECOND = 4
_MARKS = {Progress.AHEAD: "·", Progress.UNDER_WAY: "›", Progress.DONE: "✓", Progress.FAILED: "✗"}
_STYLES = {Progress.AHEAD: "dim", Progress.UNDER_WAY: "bold", Progress.DONE: "green", Progress.FAILED: "red"}


@contextmanager
def display() -> Iterator[Show]:
    """Yields a function that shows the stages; call it whenever they may have changed."""
    console = Console()
    if console.is_terminal and not console.is_dumb_terminal:
        board = _Board()
        with Live(board, console=console, refresh_per_second=_REDRAWN_A_SECOND) as live:
            try:
                yield board.show
            finally:
                board.drop_what_is_ahead()
                live.refresh()
    else:
        yield _PlainLines().show


def stage_line(stage: Stage, *, now: datetime.datetime, width: int | None = None) -> str:
    """Returns the text of a stage: where it is, what it is doing, for how long, and about how much longer.

    If that is wider than `width`, the day is dropped: its number among the days says enough.
    """
    where, day = printable(stage.where, keep=""), printable(stage.day, keep="")  # a partition key can be any text
    if stage.progress is Progress.DONE:
        return ", ".join(filter(None, [where, in_words(stage.seconds or 0.0)]))
    doings = "; ".join(_doing(doing, now=now) for doing in stage.doings)
    left = "" if stage.ends_at is None else about((stage.ends_at - now).total_seconds())
    says = doings + (f", {left} left" if left else "")
    line = "  ".join(filter(None, [f"{where} ({day})" if where and day else where or day, says]))
    if width is not None and len(line) > width:
        return "  ".join(filter(None, [where or day, says]))
    return line


def in_words(seconds: float) -> str:
    """Returns a duration in words, e.g. `47 s` or `3 min 20 s`."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    return f"{rest} s" if not minutes else f"{minutes} min" + (f" {rest} s" if rest else "")


def about(seconds: float) -> str:
    """Returns an estimate, rounded to what it is worth; an empty text once it is nearly over."""
    if seconds < 3:
        return ""
    if seconds < 95:
        return f"about {max(5, 5 * round(seconds / 5))} s"
    return f"about {round(seconds / 60)} min"


def _doing(doing: Doing, *, now: datetime.datetime) -> str:
    seconds = (now - doing.since).total_seconds() if doing.since is not None else 0.0
    return f"{doing.text} … {in_words(seconds)}" if seconds >= 1 else doing.text


class _Board:
    """What rich draws several times a second, so that the seconds count on between two polls of Airflow."""

    def __init__(self) -> None:
        self._stages: Sequence[Stage] = ()
        self._width = 0

    def show(self, stages: Sequence[Stage]) -> None:
        self._stages, self._width = stages, _widest_name(stages)

    def drop_what_is_ahead(self) -> None:
        """Drops the stages that had not begun when the watch ended: they will not run."""
        self._stages = [stage for stage in self._stages if stage.progress is not Progress.AHEAD]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[Text]:
        now = datetime.datetime.now(datetime.UTC)
        for stage in self._stages:
            line = Text(no_wrap=True, overflow="ellipsis")
            line.append(f"{_MARKS[stage.progress]} {stage.name:<{self._width}}  ", _STYLES[stage.progress])
            said = stage_line(stage, now=now, width=options.max_width - len(line))
            yield line.append(said, "red" if stage.progress is Progress.FAILED else "")


class _PlainLines:
    """Writes a line for each stage that changed, and every few seconds one for each that is under way."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._said: dict[str, object] = {}
        self._last = 0.0

    def show(self, stages: Sequence[Stage]) -> None:
        told = [stage for stage in stages if stage.progress is not Progress.AHEAD]
        changed = [stage for stage in told if self._said.get(stage.name) != _what_changes(stage)]
        if not changed and time.monotonic() - self._last >= _LINE_EVERY_S:
            changed = [stage for stage in told if stage.progress is Progress.UNDER_WAY]
        now, width = datetime.datetime.now(datetime.UTC), _widest_name(stages)
        for stage in changed:
            self._said[stage.name] = _what_changes(stage)
            self._last = time.monotonic()
            mark = f"{_MARKS[stage.progress]} " if stage.progress in (Progress.DONE, Progress.FAILED) else ""
            clock = f"[{_clock(time.monotonic() - self._began)}]"
            sys.stdout.write(f"{clock} {stage.name:<{width}}  {mark}{stage_line(stage, now=now)}\n")
        if changed:
            sys.stdout.flush()


def _widest_name(stages: Sequence[Stage]) -> int:
    return max((len(stage.name) for stage in stages), default=0)


def _what_changes(stage: Stage) -> tuple[Progress, str, str, tuple[str, ...]]:
    return stage.progress, stage.where, stage.day, tuple(doing.text for doing in stage.doings)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
