"""A candidate: encoder, index version and item table, written as a release and offered in the ledger."""

from __future__ import annotations

import sys

from index_builder.builds import find_index_version
from index_builder.metadata.item_table_build import find_item_table
from vitrine.connections import open_connections
from vitrine.contracts.datasets import EmbeddingSet
from vitrine.contracts.releases import IndexVersion, ItemTable, Release
from vitrine.errors import ContractError
from vitrine.head.embedding_sets import read_embedding_set
from vitrine.head.reader import external_fingerprint
from vitrine.identity import content_id
from vitrine.settings import Settings
from vitrine.storage import keys
from vitrine.write_once import put_once


def publish_candidate(
    settings: Settings,
    *,
    catalog_id: str,
    embedding_set_id: str,
    index_version: str,
    item_table_id: str,
    encoder_version: str,
) -> str:
    """Offers the release of an index version and an item table, built at the embedding set's head; returns its id.

    Equal content is the same release: offered again, it only takes the newer head.

    Raises:
        ContractError: the parts do not belong together.
    """
    with open_connections(settings) as (object_store, ledger):
        embedding_set = read_embedding_set(object_store, catalog_id, embedding_set_id)
        index = find_index_version(object_store, catalog_id, index_version)
        table = find_item_table(object_store, catalog_id, item_table_id)
        if index is None or table is None:
            missing = f"index {index_version}" if index is None else f"item table {item_table_id}"
            raise ContractError(f"catalog {catalog_id}: {missing} does not exist; build it first")
        _check_parts(embedding_set, index, table)
        release = _release(embedding_set, index, table, encoder_version=encoder_version)
        # The embedding set and the encoder's number stand in it and in no id.
        put_once(object_store, ledger, keys.release(catalog_id, release.release_id), release.to_bytes())
        ledger.releases.offer(
            catalog_id=catalog_id, release_id=release.release_id, head_sequence=embedding_set.head_sequence
        )
    print(f"{catalog_id}: candidate {release.release_id} at head {embedding_set.head_sequence}", file=sys.stderr)
    return release.release_id


def _check_parts(embedding_set: EmbeddingSet, index: IndexVersion, table: ItemTable) -> None:
    for what, expected, found in (
        ("fingerprint of the index", embedding_set.fingerprint, index.fingerprint),
        ("dimension of the index", embedding_set.dimension, index.dimension),
        ("index of the item table", index.index_version, table.index_version),
        ("items of the index", embedding_set.items, index.items),
        ("items of the item table", embedding_set.items, table.items),
    ):
        if expected != found:
            raise ContractError(
                f"catalog {embedding_set.catalog_id}: {what} is {found}, expected {expected} as in "
                f"{embedding_set.embedding_set_id}; build the parts of one release from one embedding set"
            )


def _release(embedding_set: EmbeddingSet, index: IndexVersion, table: ItemTable, *, encoder_version: str) -> Release:
    catalog_id, fingerprint = embedding_set.catalog_id, embedding_set.fingerprint
    external = fingerprint == external_fingerprint(catalog_id, embedding_set.dimension)
    return Release(
        release_id=content_id("release", [catalog_id, fingerprint, index.index_version, table.item_table_id]),
        catalog_id=catalog_id,
        fingerprint=fingerprint,
        encoder_version=encoder_version,
        index_version=index.index_version,
        item_table_id=table.item_table_id,
        embedding_set_id=embedding_set.embedding_set_id,
        dimension=embedding_set.dimension,
        items=embedding_set.items,
        space="vectors" if external else "encoder",
        recall_at_10=index.recall_at_10,
    )
