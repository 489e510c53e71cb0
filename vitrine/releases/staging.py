"""Staging: every living replica holds a release ready in its idle slot before any of them answers from it."""

from __future__ import annotations

import sys
import time
from contextlib import closing

from vitrine.connections import open_ledger
from vitrine.errors import ReleaseError
from vitrine.ledger import Ledger, Replica, ReplicaSlot
from vitrine.settings import Settings

FRESH_HEARTBEAT_S = 15.0
_POLL_S = 0.2
_SAY_EVERY_S = 5.0


def stage_release(settings: Settings, *, catalog_id: str, release_id: str, timeout_s: float | None = None) -> str:
    """Asks every replica to hold a release and waits until all that live report it ready; returns the release id.

    A release that is live already is returned at once. Safe to repeat: replicas keep what they hold. While no replica
    lives it waits for one: the search tier may be starting again.

    Raises:
        ReleaseError: a replica cannot load the release (its reason is in the message), or not all that live are ready
            within `timeout_s` (by default the setting `stage_timeout_s`), or none lives by then. The request is then
            withdrawn, and what is live stays live.
    """
    timeout_s = settings.stage_timeout_s if timeout_s is None else timeout_s
    with closing(open_ledger(settings)) as ledger:
        stage(ledger, catalog_id=catalog_id, release_id=release_id, timeout_s=timeout_s)
    return release_id


def stage(ledger: Ledger, *, catalog_id: str, release_id: str, timeout_s: float) -> None:
    """Stages a release, as `stage_release` does, with a ledger that is open."""
    live = ledger.releases.live(catalog_id)
    if live is not None and live.release_id == release_id:
        return
    ledger.releases.request_staging(catalog_id=catalog_id, release_id=release_id)
    try:
        _wait(ledger, catalog_id, release_id, timeout_s)
    except ReleaseError:
        ledger.releases.clear_staging(catalog_id, release_id=release_id)
        raise


def living_replicas(ledger: Ledger, *, purpose: str) -> list[Replica]:
    """Returns the replicas whose heartbeat is fresh.

    Raises:
        ReleaseError: there is none.
    """
    known = ledger.replicas.replicas()
    living = _living(known)
    if not living:
        ages = ", ".join(f"{one.replica_id} {one.heartbeat_age_s:.0f} s ago" for one in known) or "none was ever seen"
        raise ReleaseError(
            f"cannot {purpose}: no search replica is alive (last heartbeats: {ages}; expected one within "
            f"{FRESH_HEARTBEAT_S:.0f} s); start one with `make up` or `python -m serving run`"
        )
    return living


def _living(replicas: list[Replica]) -> list[Replica]:
    return [replica for replica in replicas if replica.heartbeat_age_s <= FRESH_HEARTBEAT_S]


def _wait(ledger: Ledger, catalog_id: str, release_id: str, timeout_s: float) -> None:
    started = time.monotonic()
    said = started
    while True:
        staging = ledger.releases.stagings().get(catalog_id)
        if staging is None or staging[0] != release_id:
            raise ReleaseError(
                f"catalog {catalog_id}: staging of release {release_id} was replaced by "
                f"{staging[0] if staging else 'nothing'} while it ran; one release at a time: run it again"
            )
        replicas = _living(ledger.replicas.replicas())
        # Only what was reported after the request counts: a replica that died may have left a report behind.
        reports = {
            slot.replica_id: slot
            for slot in ledger.replicas.slots(catalog_id)
            if slot.release_id == release_id and slot.updated_at >= staging[1]
        }
        waiting = [replica.replica_id for replica in replicas if not _is_ready(reports.get(replica.replica_id))]
        _refuse_failures(catalog_id, release_id, [reports[name] for name in waiting if name in reports])
        if replicas and not waiting:
            return
        elapsed = time.monotonic() - started
        states = ", ".join(f"{name}: {_describe(reports.get(name))}" for name in waiting) or "no replica is alive"
        if elapsed > timeout_s:
            living_replicas(ledger, purpose=f"stage release {release_id} of catalog {catalog_id} in {timeout_s:.0f} s")
            raise ReleaseError(
                f"catalog {catalog_id}: release {release_id} was not ready on every replica within {timeout_s:.0f} s "
                f"({states}); see the log of the search tier, or raise VITRINE_STAGE_TIMEOUT_S"
            )
        if time.monotonic() - said >= _SAY_EVERY_S:
            said = time.monotonic()
            print(f"{catalog_id}: staging {release_id}, {elapsed:.0f} s: {states}", file=sys.stderr)
        time.sleep(_POLL_S)


def _is_ready(report: ReplicaSlot | None) -> bool:
    return report is not None and report.state in ("ready", "serving")


def _describe(report: ReplicaSlot | None) -> str:
    return "no report yet" if report is None else f"{report.state} {report.detail}".strip()


def _refuse_failures(catalog_id: str, release_id: str, reports: list[ReplicaSlot]) -> None:
    failed = [report for report in reports if report.state == "failed"]
    if failed:
        why = "; ".join(f"{report.replica_id}: {report.detail}" for report in failed)
        raise ReleaseError(
            f"catalog {catalog_id}: release {release_id} cannot be staged ({why}); the release before it stays live"
        )
