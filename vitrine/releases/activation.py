"""Activation: the ledger's live pointer moves, by compare-and-set, and the replicas follow it."""

from __future__ import annotations

from contextlib import closing

from vitrine.connections import open_connections, open_ledger
from vitrine.contracts.releases import ItemTable, Release
from vitrine.errors import ObjectMissingError, ReleaseError
from vitrine.ledger import Ledger, LivePointer
from vitrine.ledger.live_pointers import Action
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys


def activate_release(
    settings: Settings,
    *,
    catalog_id: str,
    release_id: str,
    expected_generation: int,
    action: Action = "release",
    actor: str,
    reason: str = "",
) -> int:
    """Makes a release the live one and returns the generation; one that is live already changes nothing.

    Args:
        settings: of the platform.
        catalog_id, release_id: what goes live.
        expected_generation: of the live release that the caller has decided against (`live_generation`, read before the
            gate, a rollback or a restoration began). Read here, it would overwrite what a person promoted meanwhile.
        action: `release` is held to the gate, the order of heads and the pin; the others are not. `promote` pins what
            is older than the head.
        actor, reason: for the history.

    Raises:
        ReleaseError: the release does not exist, or (`action` release) was not approved by the gate.
        StaleGenerationError: somebody else moved the pointer meanwhile.
        StaleCandidateError: (`action` release) the candidate is older than what is live, or of an encoder that a
            later promotion has replaced.
        LedgerError: (`action` release) the catalog is pinned.
    """
    with open_connections(settings) as (object_store, ledger):
        return activate(
            object_store,
            ledger,
            catalog_id=catalog_id,
            release_id=release_id,
            expected_generation=expected_generation,
            action=action,
            actor=actor,
            reason=reason,
        )


def activate(
    object_store: ObjectStore,
    ledger: Ledger,
    *,
    catalog_id: str,
    release_id: str,
    expected_generation: int,
    action: Action,
    actor: str,
    reason: str,
) -> int:
    """Makes a release the live one, as `activate_release` does, on connections that are open."""
    live = ledger.releases.live(catalog_id)
    if live is not None and live.release_id == release_id:
        return live.generation
    head_sequence = _head_sequence(ledger, object_store, catalog_id, release_id, action)
    pointer = ledger.releases.activate(
        catalog_id=catalog_id,
        release_id=release_id,
        head_sequence=head_sequence,
        expected_generation=expected_generation,
        action=action,
        actor=actor,
        reason=reason,
        new_encoder=_new_encoder(object_store, live, catalog_id, release_id) if action == "release" else None,
        fingerprint=read_release(object_store, catalog_id, release_id).fingerprint,
    )
    return pointer.generation


def live_generation(settings: Settings, *, catalog_id: str) -> int:
    """Returns the generation of what a catalog serves, 0 before its first release."""
    with closing(open_ledger(settings)) as ledger:
        return generation_of(ledger.releases.live(catalog_id))


def generation_of(live: LivePointer | None) -> int:
    """Returns the generation of a live pointer, 0 where there is none yet."""
    return live.generation if live else 0


def read_release(object_store: ObjectStore, catalog_id: str, release_id: str) -> Release:
    """Returns a release.

    Raises:
        ReleaseError: it does not exist.
    """
    try:
        return Release.from_bytes(object_store.get_bytes(keys.release(catalog_id, release_id)))
    except ObjectMissingError as error:
        raise ReleaseError(
            f"catalog {catalog_id} has no release {release_id}; `python -m serving status` lists what was live"
        ) from error


def _head_sequence(ledger: Ledger, object_store: ObjectStore, catalog_id: str, release_id: str, action: Action) -> int:
    """Returns the head at which a release was built; a ledger that was rebuilt may not know it, its item table does."""
    release = read_release(object_store, catalog_id, release_id)
    candidate = ledger.releases.candidate(catalog_id=catalog_id, release_id=release_id)
    if action == "release" and (candidate is None or candidate.state != "approved"):
        found = candidate.state if candidate else "never offered"
        raise ReleaseError(
            f"catalog {catalog_id}: release {release_id} must be approved by the gate, found {found}; "
            "run the gate, or promote it by hand"
        )
    if candidate is not None:
        return candidate.head_sequence
    prefix = keys.item_table_prefix(catalog_id, release.item_table_id)
    return ItemTable.from_bytes(object_store.get_bytes(f"{prefix}/manifest.json")).head_sequence


def _new_encoder(object_store: ObjectStore, live: LivePointer | None, catalog_id: str, release_id: str) -> str | None:
    """Returns the fingerprint of a release where what is live has another."""
    if live is None:
        return None
    fingerprint = read_release(object_store, catalog_id, release_id).fingerprint
    return None if fingerprint == read_release(object_store, catalog_id, live.release_id).fingerprint else fingerprint
