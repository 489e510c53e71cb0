"""The stages as a person sees them: one redrawn line each on a terminal, a plain line per change elsewhere."""

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
    """Yields what is told the stages as often as they may have changed."""
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
    """Returns what is said of a stage: where it is, what it does, for how long already and how much longer.

    Where that is wider than `width`, the day goes first: its number among the days says enough.
    """
    where, day = printable(stage.where, keep=""), printable(stage.day, keep="")  # a partition key is anybody's text
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
    """Returns a time as a person says it, e.g. `47 s` or `3 min 20 s`."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    return f"{rest} s" if not minutes else f"{minutes} min" + (f" {rest} s" if rest else "")


def about(seconds: float) -> str:
    """Returns an estimate as roughly as it is known; an empty text where it says nothing any more."""
    if seconds < 3:
        return ""
    if seconds < 95:
        return f"about {max(5, 5 * round(seconds / 5))} s"
    return f"about {round(seconds / 60)} min"


def _doing(doing: Doing, *, now: datetime.datetime) -> str:
    seconds = (now - doing.since).total_seconds() if doing.since is not None else 0.0
    return f"{doing.text} … {in_words(seconds)}" if seconds >= 1 else doing.text


class _Board:
    """What is drawn: rich asks for it several times a second, so that seconds pass between two looks at Airflow."""

    def __init__(self) -> None:
        self._stages: Sequence[Stage] = ()
        self._width = 0

    def show(self, stages: Sequence[Stage]) -> None:
        self._stages, self._width = stages, _widest_name(stages)

    def drop_what_is_ahead(self) -> None:
        """What was not begun when the watch ends does not come."""
        self._stages = [stage for stage in self._stages if stage.progress is not Progress.AHEAD]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[Text]:
        now = datetime.datetime.now(datetime.UTC)
        for stage in self._stages:
            line = Text(no_wrap=True, overflow="ellipsis")
            line.append(f"{_MARKS[stage.progress]} {stage.name:<{self._width}}  ", _STYLES[stage.progress])
            said = stage_line(stage, now=now, width=options.max_width - len(line))
            yield line.append(said, "red" if stage.progress is Progress.FAILED else "")


class _PlainLines:
    """A line for each stage of which something else is to be said, and now and then for what goes on."""

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
