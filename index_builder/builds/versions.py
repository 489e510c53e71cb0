"""Index versions in the store: found, committed by one insert in the ledger, and read back."""

from __future__ import annotations

import json
from typing import Any

from vitrine.connections import open_object_store
from vitrine.contracts.datasets import EmbeddingSet
from vitrine.contracts.document import Provenance
from vitrine.contracts.releases import IndexVersion
from vitrine.errors import ContractError, ObjectMissingError
from vitrine.identity import content_id
from vitrine.ledger import Ledger
from vitrine.provenance import put_provenance
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

CURVE_FILE = "recall_curve.json"
_LAYOUT = "rows follow the blocks"  # ids of versions whose rows were sorted by item are never met


def index_version_id(
    embedding_set: EmbeddingSet,
    recipe: dict[str, Any],
    goal: dict[str, Any],
    *,
    quantizer_id: str | None,
    shards: int,
) -> str:
    """Returns the name of an index: of its rows, recipe, tuning goal, the quantizer that encoded it and its shards."""
    return content_id(
        "index",
        [
            _LAYOUT,
            embedding_set.catalog_id,
            embedding_set.fingerprint,
            embedding_set.rows_digest,
            recipe,
            goal,
            quantizer_id,
            shards,
        ],
    )


def find_index_version(object_store: ObjectStore, catalog_id: str, index_version: str) -> IndexVersion | None:
    """Returns the manifest of an index version, or None when it was never completed."""
    try:
        return IndexVersion.from_bytes(
            object_store.get_bytes(f"{keys.index_prefix(catalog_id, index_version)}/manifest.json")
        )
    except ObjectMissingError:
        return None


def commit_index_version(
    object_store: ObjectStore, ledger: Ledger, manifest: IndexVersion, *, attempt: str, provenance: Provenance
) -> None:
    """Makes one of several racing attempts the version: the first insert in the ledger wins, then its manifest goes up.

    A run that dies between the two leaves a version without manifest; the next run builds again and finishes the first.
    """
    prefix = keys.index_prefix(manifest.catalog_id, manifest.index_version)
    standing = ledger.attempts.commit(
        scope="index_version",
        key=f"{manifest.catalog_id}/{manifest.index_version}",
        attempt_id=attempt,
        result=manifest.model_dump(mode="json"),
    )
    winner = IndexVersion.model_validate(standing.result)
    if not all(object_store.exists(f"{prefix}/{file.name}") for file in winner.files):
        winner = manifest  # the version was collected as garbage since: this attempt's files are the only ones
    put_provenance(object_store, ledger, prefix, provenance)
    object_store.put_bytes(f"{prefix}/manifest.json", winner.to_bytes())


def read_recall(settings: Settings, *, catalog_id: str, index_version: str) -> dict[str, Any]:
    """Returns what was measured of an index version: recall, the parameters chosen, and the curve that led to them.

    Raises:
        ContractError: the version does not exist.
    """
    object_store = open_object_store(settings)
    manifest = find_index_version(object_store, catalog_id, index_version)
    if manifest is None:
        raise ContractError(f"catalog {catalog_id}: index {index_version} does not exist; build it first")
    prefix = keys.index_prefix(catalog_id, index_version)
    curves = [
        json.loads(object_store.get_bytes(f"{prefix}/{file.name}"))
        for file in manifest.files
        if file.name.endswith(CURVE_FILE)
    ]
    return {
        "index_version": index_version,
        "index_key": manifest.index_key,
        "items": manifest.items,
        "search_parameters": manifest.search_parameters,
        "recall_at_10": manifest.recall_at_10.model_dump(),
        "curve": curves[0] if curves else [],
    }
