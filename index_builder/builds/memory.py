"""The peak of the anonymous memory of this process while something is built. Mapped files do not count."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from index_builder.planning.opened_memory import anonymous_bytes
from vitrine.contracts.index_builds import IndexPlan
from vitrine.ledger.replicas import Checks

_CHECK_NAME = "index_build_peak_bytes"
_EVERY_S = 0.05


class AnonymousPeak:
    """The highest that was seen so far, looked at 20 times a second.

    Attributes:
        peak_bytes: None where the system does not tell (outside Linux).
    """

    def __init__(self) -> None:
        self.peak_bytes: int | None = None

    def look(self) -> None:
        """Takes the memory of this moment into account."""
        if (now := anonymous_bytes()) is not None:
            self.peak_bytes = max(now, self.peak_bytes or 0)


@contextmanager
def watched_memory() -> Iterator[AnonymousPeak]:
    """Watches the anonymous memory of this process in a thread while the block runs."""
    peak, stop = AnonymousPeak(), threading.Event()

    def watch() -> None:
        while not stop.wait(_EVERY_S):
            peak.look()

    peak.look()
    thread = threading.Thread(target=watch, name="anonymous-peak", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
        peak.look()


def record_peak(checks: Checks, plan: IndexPlan, *, step: str, peak: AnonymousPeak) -> None:
    """Writes down the peak of one step of a build; each step can be a process of its own."""
    checks.record(
        catalog_id=plan.catalog_id,
        check_name=_CHECK_NAME,
        subject_id=plan.plan_id,
        value=None if peak.peak_bytes is None else float(peak.peak_bytes),
        passed=None,
        detail={"step": step},
    )


def recorded_peaks(checks: Checks, plan: IndexPlan) -> list[int]:
    """Returns the peaks of the steps of a build that are over, those of attempts that were repeated too."""
    series = checks.series(catalog_id=plan.catalog_id, check_name=_CHECK_NAME)
    return [int(entry["value"]) for entry in series if entry["subject_id"] == plan.plan_id and entry["value"]]
