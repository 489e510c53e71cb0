"""What somebody who waits for a training sees: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from training.loop.history import HistoryRow
from vitrine.progress import progress

_LINE_EVERY_S = 5.0


@contextmanager
def training_display(*, steps: int) -> Iterator[Callable[[HistoryRow], None]]:
    """Yields what is called after each step; every validation and, every few seconds, the loss are said in a line."""
    if sys.stderr.isatty():
        with progress("steps", total=steps) as advance:
            done = 0

            def show(row: HistoryRow) -> None:
                nonlocal done
                advance(row.step - done)  # after a resume, all the steps before it at once
                done = row.step
                if row.validation_recall_at_10 is not None:
                    print(f"\r{line(row, steps=steps)}", file=sys.stderr, flush=True)

            yield show
        return
    last = time.monotonic()

    def tell(row: HistoryRow) -> None:
        nonlocal last
        if row.validation_recall_at_10 is not None or time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            print(line(row, steps=steps), file=sys.stderr, flush=True)

    yield tell


def line(row: HistoryRow, *, steps: int) -> str:
    """Returns a row of the history as a line of text."""
    losses = [
        f"{name} {value:.3f}"
        for name, value in (("loss", row.loss), ("triplet", row.triplet), ("infonce", row.infonce))
        if value is not None
    ]
    recalls = [
        f"{name} {value:.3f}"
        for name, value in (
            ("image", row.image_recall_at_10),
            ("user photo", row.user_photo_recall_at_10),
            ("text", row.text_recall_at_10),
        )
        if value is not None
    ]
    told = (
        ", ".join(losses) + ("; " if losses and recalls else "") + ("recall@10: " * bool(recalls)) + ", ".join(recalls)
    )
    return f"step {row.step:,} of {steps:,}" + (f": {told}" if told else "")
