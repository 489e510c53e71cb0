"""Progress of an embedding job, read from the ledger: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from vitrine.errors import LedgerError
from vitrine.ledger import Ledger
from vitrine.progress import Show
from vitrine.progress import watched as watched_work


@contextmanager
def watched(ledger: Ledger, *, catalog_id: str, fingerprint: str, units: int) -> Iterator[None]:
    """Shows how many of `units` were committed, and images a second, while the body runs."""
    before = ledger.blocks.counts(catalog_id=catalog_id, fingerprint=fingerprint)
    began = time.monotonic()
    label = f"embed {catalog_id}"

    def look(show: Show) -> None:
        try:
            now = ledger.blocks.counts(catalog_id=catalog_id, fingerprint=fingerprint)
        except LedgerError as error:
            problem = f"the ledger does not answer: {error}"
            show(None, lambda: f"{label}: {problem}", note=problem)
            return
        done, images = now.blocks - before.blocks, now.images - before.images
        rate = images / max(1e-9, time.monotonic() - began)
        note = f"{images:,} images, {rate:,.1f} images/s"
        show(done, lambda: f"{label}: {done} of {units} units, {note}", note=note)

    with watched_work(look, label=label, total=units):
        yield
