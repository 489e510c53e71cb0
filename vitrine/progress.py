"""Progress of long work: a bar on a terminal, one plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_LINE_EVERY_S = 5.0


class Advance(Protocol):
    """Called with how many more units are done."""

    def __call__(self, units: int = 1) -> None: ...


@contextmanager
def progress(label: str, *, total: int | None = None) -> Iterator[Advance]:
    """Shows the progress of `total` units of work, or of work whose end is not known, while the block runs."""
    if sys.stderr.isatty():
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
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda units=1: bar.advance(task, units)
        return
    started = last = time.monotonic()
    done = 0
    of_total = "" if total is None else f" of {total:,}"

    def advance(units: int = 1) -> None:
        nonlocal done, last
        done += units
        now = time.monotonic()
        if now - last >= _LINE_EVERY_S:
            last = now
            print(f"{label}: {done:,}{of_total} ({now - started:.0f} s)", file=sys.stderr, flush=True)

    yield advance
