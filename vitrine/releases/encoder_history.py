"""Under which encoders catalogs are live and were live before, as the ledger says."""

from __future__ import annotations

from vitrine.contracts.releases import Release
from vitrine.errors import ContractError, ReleaseError
from vitrine.ledger import Ledger
from vitrine.releases.activation import read_release
from vitrine.storage import ObjectStore

_RELEASES = 500  # distinct releases that are looked through, newest first; each is one small object


def returns_to_encoder(object_store: ObjectStore, ledger: Ledger, *, catalog_id: str, release_id: str) -> bool:
    """Tells whether a candidate is the way back, asked for by the alias, to an encoder that was live before."""
    promotion = ledger.promotions.under_way(catalog_id)
    live = ledger.releases.live(catalog_id)
    if promotion is None or promotion.fingerprint is None or live is None:
        return False
    if read_release(object_store, catalog_id, release_id).fingerprint != promotion.fingerprint:
        return False
    if read_release(object_store, catalog_id, live.release_id).fingerprint == promotion.fingerprint:
        return False
    return live_before(object_store, ledger, catalog_id=catalog_id, fingerprint=promotion.fingerprint) is not None


def live_before(object_store: ObjectStore, ledger: Ledger, *, catalog_id: str, fingerprint: str) -> str | None:
    """Returns the version in the registry of an encoder that the catalog served once, or None.

    What was taken back because its verification failed was not served.
    """
    history = ledger.releases.history(catalog_id, limit=10_000)
    failed = {row["generation"] - 1 for row in history if row["action"] == "restore"}
    served = dict.fromkeys(row["release_id"] for row in history if row["generation"] not in failed)
    for release_id in list(served)[:_RELEASES]:
        try:
            release = read_release(object_store, catalog_id, release_id)
        except ReleaseError:
            continue  # collected as garbage: nothing of it is left to go back to
        if release.fingerprint == fingerprint:
            return release.encoder_version
    return None


def live_encoders(object_store: ObjectStore, ledger: Ledger) -> dict[str, Release | None]:
    """Returns the live release of each catalog that is searched with an encoder; catalogs of vectors have none.

    A release that cannot be read is None: its catalog went live, and nothing says that it was with vectors.
    """
    found: dict[str, Release | None] = {}
    for catalog_id, pointer in sorted(ledger.releases.all_live().items()):
        try:
            release = read_release(object_store, catalog_id, pointer.release_id)
        except (ReleaseError, ContractError):
            found[catalog_id] = None
            continue
        if release.space == "encoder":
            found[catalog_id] = release
    return found
