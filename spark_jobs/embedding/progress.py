"""Progress of an embedding job, read from the ledger: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vitrine.errors import LedgerError
from vitrine.ledger import Ledger

POLL_S = 5.0


@contextmanager
def watched(ledger: Ledger, *, catalog_id: str, fingerprint: str, units: int, poll_s: float = POLL_S) -> Iterator[None]:
    """Shows how many of `units` were committed, and images a second, while the body runs."""
    before = ledger.blocks.counts(catalog_id=catalog_id, fingerprint=fingerprint)
    began = time.monotonic()
    stop = threading.Event()

    def line() -> tuple[int, str]:
        now = ledger.blocks.counts(catalog_id=catalog_id, fingerprint=fingerprint)
        done, images = now.blocks - before.blocks, now.images - before.images
        rate = images / max(1e-9, time.monotonic() - began)
        return done, f"{images:,} images, {rate:,.1f} images/s"

    def plain() -> None:
        while not stop.wait(poll_s):
            try:
                done, text = line()
            except LedgerError as error:
                text, done = f"the ledger does not answer: {error}", 0
            print(f"embed {catalog_id}: {done} of {units} units, {text}", file=sys.stderr, flush=True)

    def bar() -> None:
        columns = (TextColumn("embed {task.fields[catalog]}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[rate]}")) as progress:
            shown = progress.add_task("embed", total=units, catalog=catalog_id, rate="")
            while not stop.wait(1.0):
                try:
                    done, text = line()
                except LedgerError as error:
                    progress.update(shown, rate=f"the ledger does not answer: {error}")
                else:
                    progress.update(shown, completed=done, rate=text)

    thread = threading.Thread(target=bar if sys.stderr.isatty() else plain, name="embed-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
