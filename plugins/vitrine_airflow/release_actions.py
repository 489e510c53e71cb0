"""The decisions of `release_index` that stand between its tasks.

Where to begin, when a candidate is superseded, and what clearing a failed verification means. What the gate saw live
goes along from task to task by its generation: when a person moves the live release meanwhile, activation fails.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing
from typing import TypedDict

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from vitrine.connections import open_ledger
from vitrine.errors import GateError, ReleaseError, StaleCandidateError, StaleGenerationError
from vitrine.releases.activation import activate_release, live_generation
from vitrine.releases.staging import stage_release
from vitrine.releases.verification import verify_or_restore, was_taken_back
from vitrine.settings import Settings
from vitrine_airflow.promotions import tag_gate

log = logging.getLogger(__name__)

_FIRST_TASKS = {
    "release": "gate_release",
    "promote": "promote",
    "rollback": "choose_target",
    "pin": "pin",
    "unpin": "unpin",
}


class Approved(TypedDict):
    """A release, and the generation of the live one that it was judged against; once activated, its own."""

    release_id: str
    generation: int


def first_task(action: str, *, release_id: str | None) -> str:
    """Returns the task that an action begins with.

    Raises:
        AirflowFailException: the action needs a release and none is named, or takes none.
    """
    if action in ("release", "promote") and not release_id:
        raise AirflowFailException(
            f"action `{action}` needs a release_id and found none; `python -m serving status` lists the releases"
        )
    if action in ("pin", "unpin") and release_id:
        raise AirflowFailException(
            f"action `{action}` is about the live release, whichever it is, and found release_id {release_id}; "
            "leave it empty, or `promote` that release"
        )
    return _FIRST_TASKS[action]


def rollback_target(settings: Settings, *, catalog_id: str, release_id: str | None) -> str:
    """Returns where a rollback goes, settled once: a retry of the rollback itself must not go back further.

    Raises:
        ReleaseError: none is named and there is nothing to go back to.
    """
    from vitrine.releases import control

    return release_id or control.rollback_target(settings, catalog_id=catalog_id)


def gate(
    settings: Settings, *, catalog_id: str, release_id: str, actor: str, provenance: Mapping[str, str]
) -> Approved:
    """Judges a candidate; returns it with the generation that was live when judging began.

    Raises:
        GateError: it was refused.
    """
    from vitrine.releases.gate import gate_release

    generation = live_generation(settings, catalog_id=catalog_id)
    try:
        gate_release(settings, catalog_id=catalog_id, release_id=release_id, actor=actor, provenance=provenance)
    except GateError as error:
        tag_gate(settings, catalog_id=catalog_id, release_id=release_id, verdict=f"refused: {error}")
        raise
    tag_gate(settings, catalog_id=catalog_id, release_id=release_id, verdict="passed")
    return {"release_id": release_id, "generation": generation}


def stage_or_skip(settings: Settings, *, catalog_id: str, approved: Approved) -> Approved:
    """Stages an approved candidate, unless it could not go live by itself: no replica is then asked to load it.

    Raises:
        AirflowSkipException: the catalog is pinned, or the live release is newer.
        ReleaseError: it could not be staged.
    """
    release_id = approved["release_id"]
    with closing(open_ledger(settings)) as ledger:
        live = ledger.releases.live(catalog_id)
        candidate = ledger.releases.candidate(catalog_id=catalog_id, release_id=release_id)
    if live is not None and live.release_id != release_id:
        if live.pinned:
            raise _skip(
                f"catalog {catalog_id} is pinned to {live.release_id} ({live.pin_reason or 'no reason given'}); "
                f"{release_id} was approved and waits: promote it by hand, or unpin and release it"
            )
        if candidate is not None and candidate.head_sequence < live.head_sequence:
            raise _skip(
                f"candidate {release_id} was built at head {candidate.head_sequence}, the live release "
                f"{live.release_id} at head {live.head_sequence}; the live release never moves back by itself"
            )
    stage_release(settings, catalog_id=catalog_id, release_id=release_id)
    return approved


def activate_or_skip(settings: Settings, *, catalog_id: str, approved: Approved, actor: str, reason: str) -> Approved:
    """Activates a staged release; returns it with its own generation.

    Raises:
        AirflowSkipException: a newer release went live since it was staged.
        StaleGenerationError: another went live since the gate.
        LedgerError: the ledger refused.
    """
    try:
        generation = activate_release(
            settings,
            catalog_id=catalog_id,
            release_id=approved["release_id"],
            expected_generation=approved["generation"],
            actor=actor,
            reason=reason,
        )
    except StaleCandidateError as error:
        raise _skip(str(error)) from error
    except StaleGenerationError as error:
        raise StaleGenerationError(f"{error}. Clear gate_release and what follows it to do so") from error
    return {"release_id": approved["release_id"], "generation": generation}


def verify(settings: Settings, *, catalog_id: str, activated: Approved, actor: str, reason: str, cleared: bool) -> None:
    """Verifies what was activated, or puts the release before it back and fails.

    Clearing the failed task tries the release again: it was taken back, so it is staged and activated anew, as long as
    what was put back is what the gate had compared it with. A retry after a kill does not: it ends as the try before
    it would have.

    Args:
        settings: of the platform.
        catalog_id: whose release.
        activated: as `activate_or_skip` returned it.
        actor, reason: for the history.
        cleared: a person cleared the task, and this is the first try since.

    Raises:
        ReleaseError: verification failed; the message says what is live now.
    """
    with closing(open_ledger(settings)) as ledger:
        live = ledger.releases.live(catalog_id)
    if live is not None and live.release_id != activated["release_id"] and cleared:
        if not was_taken_back(live, **activated):
            raise ReleaseError(
                f"catalog {catalog_id}: release {activated['release_id']} is not live any more: live is "
                f"{live.release_id} ({live.action}); clear gate_release and what follows it, to judge against that"
            )
        log.warning("%s was taken back before; it is staged and activated again", activated["release_id"])
        approved: Approved = {"release_id": activated["release_id"], "generation": live.generation}
        stage_or_skip(settings, catalog_id=catalog_id, approved=approved)
        activated = activate_or_skip(settings, catalog_id=catalog_id, approved=approved, actor=actor, reason=reason)
    elif live is not None and live.release_id == activated["release_id"]:
        activated = {**activated, "generation": live.generation}
    verify_or_restore(settings, catalog_id=catalog_id, **activated, actor=actor)


def _skip(message: str) -> AirflowSkipException:
    log.warning(message)  # Airflow shows no reason beside a skipped task
    return AirflowSkipException(message)
