"""What a person, or the release DAG in one call, does with releases: release, promote, roll back, pin, unpin.

Each may be killed between any two of its steps and run again: what is done stays done, and the end is the same.
"""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from vitrine.connections import open_connections, open_ledger
from vitrine.errors import ReleaseError
from vitrine.ledger import Ledger, LivePointer
from vitrine.ledger.live_pointers import Action
from vitrine.releases.activation import activate, generation_of, read_release
from vitrine.releases.staging import stage
from vitrine.releases.verification import confirm_activation
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

log = logging.getLogger(__name__)

_HISTORY = 10_000


@dataclass(frozen=True)
class RolledBack:
    """Where a rollback ended."""

    release_id: str
    generation: int


def release(settings: Settings, *, catalog_id: str, release_id: str, actor: str) -> int:
    """Gates a candidate, stages, activates and verifies it; returns the generation.

    Raises:
        GateError: the gate refused it.
        ReleaseError: it could not be staged or verified; the release before it is live.
    """
    from vitrine.releases.gate import judge_candidate

    with open_connections(settings) as (object_store, ledger):
        live = ledger.releases.live(catalog_id)
        judge_candidate(settings, object_store, ledger, catalog_id=catalog_id, release_id=release_id, actor=actor)
        return release_or_restore(
            object_store,
            ledger,
            catalog_id=catalog_id,
            release_id=release_id,
            expected_generation=generation_of(live),
            action="release",
            actor=actor,
            stage_timeout_s=settings.stage_timeout_s,
        )


def release_or_restore(
    object_store: ObjectStore,
    ledger: Ledger,
    *,
    catalog_id: str,
    release_id: str,
    expected_generation: int,
    action: Action,
    actor: str,
    reason: str = "",
    stage_timeout_s: float,
) -> int:
    """Stages, activates and verifies; on a failed verification puts the old release back. Returns the generation.

    Raises:
        ReleaseError: it could not be staged or verified; the release before it is live.
        StaleGenerationError: another release went live since `expected_generation`, and stays.
    """
    stage(ledger, catalog_id=catalog_id, release_id=release_id, timeout_s=stage_timeout_s)
    generation = activate(
        object_store,
        ledger,
        catalog_id=catalog_id,
        release_id=release_id,
        expected_generation=expected_generation,
        action=action,
        actor=actor,
        reason=reason,
    )
    confirm_activation(
        object_store, ledger, catalog_id=catalog_id, release_id=release_id, generation=generation, actor=actor
    )
    return generation


def promote(settings: Settings, *, catalog_id: str, release_id: str, actor: str, reason: str = "") -> int:
    """Makes any release live by hand, whatever the gate said and however old it is. Returns the generation.

    What is older than the head is pinned, or the next build would undo it, and the log says so; anything else unpins.
    An encoder that the gate had refused is accepted with it: the next builds under it are judged like any other.

    Raises:
        ReleaseError: it does not exist, or could not be staged or verified.
        StaleGenerationError: another release went live meanwhile, and stays.
    """
    with open_connections(settings) as (object_store, ledger):
        before = ledger.releases.live(catalog_id)
        was_live = before is not None and before.release_id == release_id
        is_unfinished = before is not None and before.action == "promote" and not before.verified
        generation = release_or_restore(
            object_store,
            ledger,
            catalog_id=catalog_id,
            release_id=release_id,
            expected_generation=generation_of(before),
            action="promote",
            actor=actor,
            reason=reason,
            stage_timeout_s=settings.stage_timeout_s,
        )
        promoted = read_release(object_store, catalog_id, release_id)
        ledger.releases.accept_encoder(catalog_id=catalog_id, fingerprint=promoted.fingerprint)
        if was_live and not is_unfinished:  # a promotion that was cut short has settled its pin
            ledger.releases.pin_promoted(
                catalog_id=catalog_id,
                release_id=release_id,
                fingerprint=promoted.fingerprint,
                actor=actor,
                reason=reason,
            )
        live = ledger.releases.live(catalog_id)
    if live is not None and live.release_id == release_id and live.pinned:
        log.warning("catalog %s is pinned to %s: %s", catalog_id, release_id, live.pin_reason)
    return generation


def rollback_target(settings: Settings, *, catalog_id: str) -> str:
    """Returns the release that a rollback without a name goes back to.

    Raises:
        ReleaseError: nothing is live, or nothing was live before it.
    """
    with closing(open_ledger(settings)) as ledger:
        return _target(ledger, _live(ledger, catalog_id))


def roll_back(
    settings: Settings, *, catalog_id: str, actor: str, reason: str = "", release_id: str | None = None
) -> RolledBack:
    """Goes back to the release before the live one, or to `release_id`, and pins the catalog to it.

    Rolling back again goes back further, never forth to what was rolled back from. A rollback that was cut short is
    finished, not repeated. A caller that may repeat itself asks `rollback_target` once and names it.

    Raises:
        ReleaseError: there is no release before, or it could not be staged or verified.
        StaleGenerationError: another release went live meanwhile, and stays.
    """
    with open_connections(settings) as (object_store, ledger):
        live = _live(ledger, catalog_id)
        target = release_id or _target(ledger, live)
        generation = release_or_restore(
            object_store,
            ledger,
            catalog_id=catalog_id,
            release_id=target,
            expected_generation=live.generation,
            action="rollback",
            actor=actor,
            reason=reason,
            stage_timeout_s=settings.stage_timeout_s,
        )
        now = ledger.releases.live(catalog_id)
        if now is not None and now.release_id == target and not now.pinned:
            ledger.releases.set_pin(catalog_id=catalog_id, pinned=True, actor=actor, reason=reason)
    return RolledBack(target, generation)


def pin(settings: Settings, *, catalog_id: str, actor: str, reason: str = "") -> None:
    """Keeps what is live: no release goes live by itself until it is unpinned.

    Raises:
        LedgerError: the catalog has no live release.
    """
    with closing(open_ledger(settings)) as ledger:
        ledger.releases.set_pin(catalog_id=catalog_id, pinned=True, actor=actor, reason=reason)


def unpin(settings: Settings, *, catalog_id: str, actor: str, reason: str = "") -> None:
    """Lets releases go live by themselves again.

    Raises:
        LedgerError: the catalog has no live release.
    """
    with closing(open_ledger(settings)) as ledger:
        ledger.releases.set_pin(catalog_id=catalog_id, pinned=False, actor=actor, reason=reason)


def _live(ledger: Ledger, catalog_id: str) -> LivePointer:
    live = ledger.releases.live(catalog_id)
    if live is None:
        raise ReleaseError(f"catalog {catalog_id} has no live release; there is nothing to roll back")
    return live


def _target(ledger: Ledger, live: LivePointer) -> str:
    if live.action == "rollback" and not live.verified:
        return live.release_id  # activated, but killed before it was verified
    history = ledger.releases.history(live.catalog_id, limit=_HISTORY)
    earlier = earlier_releases(history)
    if not earlier:
        raise ReleaseError(
            f"catalog {live.catalog_id}: there is no release before {live.release_id} to roll back to; "
            "promote another by its id"
        )
    return earlier[-1]


def earlier_releases(history: list[dict[str, Any]]) -> list[str]:
    """Returns what lies below the live release, oldest first.

    Args:
        history: activations, newest first. Releases and promotions are put on top; rollbacks and restorations take off
            what is above the release they go back to.
    """
    stack: list[str] = []
    for activation in reversed(history):
        release_id = activation["release_id"]
        if activation["action"] in ("rollback", "restore") and release_id in stack:
            del stack[stack.index(release_id) :]
        elif release_id in stack:
            stack.remove(release_id)
        stack.append(release_id)
    return stack[:-1]
