"""Progress of long work: a bar on a terminal, one plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

_LINE_EVERY_S = 5.0
_BAR_EVERY_S = 1.0


class Advance(Protocol):
    """Called with how many more units are done."""

    def __call__(self, units: int = 1) -> None: ...


class Show(Protocol):
    """Called with how far the work is.

    Args:
        done: units, from the beginning; None: not known now.
        line: says it in a line.
        note: stands beside the bar.
        is_news: the line is printed at once, above a bar too.
    """

    def __call__(self, done: int | None, line: Callable[[], str], *, note: str = "", is_news: bool = False) -> None: ...


@contextmanager
def progress(label: str, *, total: int | None = None) -> Iterator[Advance]:
    """Shows the progress of `total` units of work, or of work whose end is not known, while the block runs."""
    started, done = time.monotonic(), 0
    of_total = "" if total is None else f" of {total:,}"

    def line() -> str:
        return f"{label}: {done:,}{of_total} ({time.monotonic() - started:.0f} s)"

    with shown(label, total=total) as show:

        def advance(units: int = 1) -> None:
            nonlocal done
            done += units
            show(done, line)

        yield advance


@contextmanager
def shown(label: str, *, total: int | None = None) -> Iterator[Show]:
    """Yields what shows how far the work is, in a bar of `total` units or in lines of the caller's own words."""
    if sys.stderr.isatty():
        with _bar(label, total) as show:
            yield show
        return
    last = time.monotonic()

    def tell(done: int | None, line: Callable[[], str], *, note: str = "", is_news: bool = False) -> None:  # noqa: ARG001
        nonlocal last
        if is_news or time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            _say(line())

    yield tell


@contextmanager
def watched(look: Callable[[Show], None], *, label: str, total: int | None = None) -> Iterator[None]:
    """Shows, while the block runs, the progress of work that others do: `look` finds out how far it is, in a thread."""
    every_s = _BAR_EVERY_S if sys.stderr.isatty() else _LINE_EVERY_S
    with shown(label, total=total) as show, _repeated(lambda: look(show), every_s=every_s):
        yield


@contextmanager
def told(line: Callable[[], str]) -> Iterator[None]:
    """Prints a line every few seconds while the block runs, on a terminal too: for work that no bar measures."""
    with _repeated(lambda: _say(line()), every_s=_LINE_EVERY_S):
        yield


@contextmanager
def _bar(label: str, total: int | None) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, note="")

        def show(done: int | None, line: Callable[[], str], *, note: str = "", is_news: bool = False) -> None:
            bar.update(task, completed=done, note=note)
            if is_news:
                bar.console.print(line(), markup=False, highlight=False)

        yield show


@contextmanager
def _repeated(action: Callable[[], None], *, every_s: float) -> Iterator[None]:
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(every_s):
            action()

    thread = threading.Thread(target=repeat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
