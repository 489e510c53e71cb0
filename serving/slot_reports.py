"""Tells the ledger what a replica's slots hold, when that changed or when somebody asked anew."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping, Set
from dataclasses import dataclass

from serving.replica_folder import SLOTS, CatalogPlan, Slot
from vitrine.errors import LedgerError
from vitrine.ledger import Ledger
from vitrine.ledger.replicas import SlotState

log = logging.getLogger("vitrine.serving")


@dataclass(frozen=True)
class SlotStatus:
    """What one slot holds, as the ledger is told."""

    release_id: str | None
    state: SlotState
    detail: str = ""


def held_slots(catalog: CatalogPlan | None, *, ready: Set[str], served: str | None) -> dict[Slot, SlotStatus]:
    """Says what the slots of a catalog hold by the plan.

    Args:
        catalog: its plan, if it has one.
        ready: releases that every worker holds ready.
        served: the release that every worker answers from, if it is one.
    """
    statuses: dict[Slot, SlotStatus] = dict.fromkeys(SLOTS, SlotStatus(None, "empty"))
    for slot, planned in (catalog.slots if catalog else {}).items():
        release_id = planned.release_id
        serves = catalog is not None and catalog.live == release_id == served
        statuses[slot] = SlotStatus(release_id, "serving" if serves else "ready" if release_id in ready else "loading")
    return statuses


class SlotReporter:
    """Remembers what was told; an unreachable ledger is told later."""

    def __init__(self, ledger: Ledger, replica_id: str) -> None:
        self._ledger = ledger
        self._replica_id = replica_id
        self._told: dict[tuple[str, Slot], tuple[SlotStatus, datetime.datetime | None]] = {}

    def report(
        self,
        catalog_id: str,
        statuses: Mapping[Slot, SlotStatus],
        *,
        requested_at: datetime.datetime | None,
        staged: str | None,
    ) -> None:
        """Tells what changed; the slot of the staged release is told again for each request to stage it.

        Whoever asks for staging believes only what was told after the request.
        """
        for slot, status in statuses.items():
            asked = requested_at if staged is not None and status.release_id == staged else None
            if self._told.get((catalog_id, slot)) == (status, asked):
                continue
            try:
                self._ledger.replicas.report_slot(
                    replica_id=self._replica_id,
                    catalog_id=catalog_id,
                    slot=slot,
                    release_id=status.release_id,
                    state=status.state,
                    detail=status.detail[:2_000],
                )
            except LedgerError as error:
                log.error("slot %s of catalog %s cannot be reported: %s", slot, catalog_id, error)
                return
            self._told[catalog_id, slot] = (status, asked)
