"""What the ledger asks a replica to hold: the live release of each catalog, and the one that is staged."""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass

from vitrine.errors import LedgerError
from vitrine.ledger import Ledger, LivePointer

log = logging.getLogger("vitrine.serving")


@dataclass(frozen=True)
class Wanted:
    """The ledger's word on one catalog."""

    pointer: LivePointer | None = None
    staged: str | None = None
    requested_at: datetime.datetime | None = None

    @property
    def release_ids(self) -> tuple[str, ...]:
        """What is staged, what is live."""
        live = self.pointer.release_id if self.pointer else None
        return tuple(release_id for release_id in (self.staged, live) if release_id is not None)


class WantedReleases:
    """The ledger's word on every catalog, as it was when the ledger last answered.

    Attributes:
        by_catalog: empty until the ledger answers for the first time.
        ledger_reachable: whether it answered when it was last asked.
        has_been_heard: whether it has ever answered.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.by_catalog: dict[str, Wanted] = {}
        self.ledger_reachable = False
        self.has_been_heard = False

    def refresh(self) -> None:
        """Asks the ledger; while it is away, its last word counts."""
        try:
            pointers, stagings = self._ledger.releases.all_live(), self._ledger.releases.stagings()
        except LedgerError as error:
            if self.ledger_reachable:
                log.error("the ledger is away, what is live stays live: %s", error)
            self.ledger_reachable = False
            return
        if not self.ledger_reachable:
            log.info("the ledger is reachable; live: %s", {name: pointers[name].release_id for name in pointers})
        self.ledger_reachable = self.has_been_heard = True
        self.by_catalog = {
            catalog_id: Wanted(pointers.get(catalog_id), *stagings.get(catalog_id, (None, None)))
            for catalog_id in sorted({*pointers, *stagings})
        }

    def of(self, catalog_id: str) -> Wanted:
        """Returns the word on one catalog."""
        return self.by_catalog.get(catalog_id, Wanted())

    def keys(self) -> set[tuple[str, str]]:
        """Returns (catalog_id, release_id) of everything that is live or staged."""
        return {(catalog_id, name) for catalog_id, wanted in self.by_catalog.items() for name in wanted.release_ids}

    def live(self) -> dict[str, str]:
        """Returns the live releases by catalog."""
        return {name: wanted.pointer.release_id for name, wanted in self.by_catalog.items() if wanted.pointer}
