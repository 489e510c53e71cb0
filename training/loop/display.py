"""What somebody who waits for a training sees: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from training.loop.history import HistoryRow
from vitrine.progress import shown


@contextmanager
def training_display(*, steps: int) -> Iterator[Callable[[HistoryRow], None]]:
    """Yields what is called after each step; every validation and, every few seconds, the loss are said in a line."""
    with shown("steps", total=steps) as show:

        def tell(row: HistoryRow) -> None:
            show(row.step, lambda: line(row, steps=steps), is_news=row.validation_recall_at_10 is not None)

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
