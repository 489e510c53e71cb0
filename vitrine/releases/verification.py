"""Verification over HTTP: what the ledger says is live is what every replica answers, or the old release comes back."""

from __future__ import annotations

import time

from vitrine.connections import open_connections
from vitrine.errors import (
    LedgerError,
    ObjectCorruptError,
    ObjectMissingError,
    ReleaseError,
    StaleGenerationError,
    StorageError,
    VitrineError,
)
from vitrine.ledger import Ledger, LivePointer
from vitrine.releases.activation import activate, read_release
from vitrine.releases.replica_checks import check_replica, sample_items
from vitrine.releases.staging import living_replicas
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

VERIFY_TIMEOUT_S = 60.0
_POLL_S = 0.25


def verify_release(
    object_store: ObjectStore,
    ledger: Ledger,
    *,
    catalog_id: str,
    release_id: str,
    timeout_s: float = VERIFY_TIMEOUT_S,
) -> None:
    """Returns once every living replica answers from a release, in all its workers; replicas get time to flip.

    Raises:
        ReleaseError: a replica does not answer as it should within `timeout_s`, or the release's own objects are not
            whole; the message says which and how.
        LedgerError: the ledger cannot be asked within `timeout_s`, which says nothing about the release.
        StorageError: nor can the object store.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            _check_all(object_store, ledger, catalog_id=catalog_id, release_id=release_id)
        except (ObjectMissingError, ObjectCorruptError) as error:
            raise ReleaseError(f"catalog {catalog_id}: release {release_id} is not whole: {error}") from error
        except ReleaseError as error:
            if time.monotonic() > deadline:
                raise ReleaseError(
                    f"catalog {catalog_id}: after {timeout_s:.0f} s release {release_id} is not served as it should: "
                    f"{error}"
                ) from error
        except (LedgerError, StorageError):
            if time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(_POLL_S)


def verify_or_restore(
    settings: Settings,
    *,
    catalog_id: str,
    release_id: str,
    generation: int,
    actor: str,
    timeout_s: float = VERIFY_TIMEOUT_S,
    restored_timeout_s: float = VERIFY_TIMEOUT_S,
) -> None:
    """Verifies a release that was just activated; when that fails, puts the one before it back and fails loudly.

    What was verified once is not taken back when it is verified again, nor is what was put back. Killed anywhere and
    run again, it ends the same: a restoration that was begun is finished, and fails as it would have.

    Args:
        settings: of the platform.
        catalog_id, release_id: what went live.
        generation: that its activation returned; only this one is ever taken back.
        actor: for the history.
        timeout_s: how long replicas may take to answer as they should.
        restored_timeout_s: how long they may take to do so from what was put back.

    Raises:
        ReleaseError: verification failed; the message says what was wrong and what is live now.
        LedgerError, StorageError: nothing could be learned about the release, so it stays; run it again.
    """
    with open_connections(settings) as (object_store, ledger):
        confirm_activation(
            object_store,
            ledger,
            catalog_id=catalog_id,
            release_id=release_id,
            generation=generation,
            actor=actor,
            timeout_s=timeout_s,
            restored_timeout_s=restored_timeout_s,
        )


def confirm_activation(
    object_store: ObjectStore,
    ledger: Ledger,
    *,
    catalog_id: str,
    release_id: str,
    generation: int,
    actor: str,
    timeout_s: float = VERIFY_TIMEOUT_S,
    restored_timeout_s: float = VERIFY_TIMEOUT_S,
) -> None:
    """Verifies or restores, as `verify_or_restore` does, on connections that are open."""
    live = ledger.releases.live(catalog_id)
    if live is not None and was_taken_back(live, release_id=release_id, generation=generation):
        outcome = _finish_restoration(object_store, ledger, live, timeout_s=restored_timeout_s)
        raise ReleaseError(f"catalog {catalog_id}: release {release_id} failed its verification; {outcome}")
    if live is None or live.release_id != release_id:
        raise ReleaseError(
            f"catalog {catalog_id}: cannot verify release {release_id} of generation {generation}: live is "
            f"{_named(live)}, which came after it; release it again from its gate on if it is still meant"
        )
    try:
        verify_release(object_store, ledger, catalog_id=catalog_id, release_id=release_id, timeout_s=timeout_s)
    except ReleaseError as error:
        outcome = _restore(
            object_store,
            ledger,
            live,
            generation=generation,
            actor=actor,
            reason=str(error),
            verify_timeout_s=restored_timeout_s,
        )
        raise ReleaseError(f"verification failed: {error}; {outcome}") from error
    fingerprint = read_release(object_store, catalog_id, release_id).fingerprint
    ledger.releases.mark_verified(catalog_id=catalog_id, generation=generation)
    ledger.promotions.close(catalog_id=catalog_id, fingerprint=fingerprint, outcome="released")
    ledger.releases.clear_staging(catalog_id, release_id=release_id)


def _check_all(object_store: ObjectStore, ledger: Ledger, *, catalog_id: str, release_id: str) -> None:
    release = read_release(object_store, catalog_id, release_id)
    samples = sample_items(object_store, release)
    replicas = living_replicas(ledger, purpose=f"verify release {release_id} of catalog {catalog_id}")
    for replica in replicas:
        check_replica(replica.url, release, samples)


def was_taken_back(live: LivePointer, *, release_id: str, generation: int) -> bool:
    """Tells whether what is live was put back because this activation failed its verification."""
    return live.action == "restore" and live.previous_release_id == release_id and live.generation > generation


def _restore(
    object_store: ObjectStore,
    ledger: Ledger,
    live: LivePointer,
    *,
    generation: int,
    actor: str,
    reason: str,
    verify_timeout_s: float,
) -> str:
    """Puts back what was live before `live`, unless that was verified or somebody came first; says what was done."""
    catalog_id, failed, before = live.catalog_id, live.release_id, live.previous_release_id
    if live.generation != generation:
        return f"live is {_named(live)}, which was left as it is"
    if live.verified:
        return "it had been verified before and stays live; look at the search tier"
    if before is None or live.action == "restore":
        ledger.releases.clear_staging(catalog_id, release_id=failed)
        why = "was put back itself" if before else "has none before it to put back"
        return f"it {why}, so it stays live; look at the search tier, or promote another by its id"
    try:
        activate(
            object_store,
            ledger,
            catalog_id=catalog_id,
            release_id=before,
            expected_generation=generation,
            action="restore",
            actor=actor,
            reason=f"verification of {failed} failed: {reason}"[:1_000],
        )
    except StaleGenerationError as error:
        return f"it was not taken back, because another came first: {error}"
    restored = ledger.releases.live(catalog_id)
    if restored is None or not was_taken_back(restored, release_id=failed, generation=generation):
        return f"release {before} was put back, and live is {_named(restored)} since"
    return _finish_restoration(object_store, ledger, restored, timeout_s=verify_timeout_s)


def _finish_restoration(object_store: ObjectStore, ledger: Ledger, restored: LivePointer, *, timeout_s: float) -> str:
    """Withdraws the staging of what failed and verifies what was put back; says how that ended."""
    catalog_id, release_id = restored.catalog_id, restored.release_id
    ledger.releases.clear_staging(catalog_id, release_id=restored.previous_release_id or "")
    if not restored.verified:
        try:
            verify_release(object_store, ledger, catalog_id=catalog_id, release_id=release_id, timeout_s=timeout_s)
        except VitrineError as error:
            return f"release {release_id} was put back and is live, but the search tier is not well with it: {error}"
        ledger.releases.mark_verified(catalog_id=catalog_id, generation=restored.generation)
    return f"release {release_id} was put back, verified and is live"


def _named(live: LivePointer | None) -> str:
    return f"{live.release_id} (generation {live.generation}, {live.action})" if live else "nothing"
