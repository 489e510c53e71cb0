"""The head under one encoder: which blocks cover it, written down as an embedding set."""

from __future__ import annotations

import hashlib
import json

import pyarrow as pa
import pyarrow.compute as pc

from vitrine.connections import open_ledger, open_object_store
from vitrine.contracts.datasets import EmbeddingBlock, EmbeddingSet
from vitrine.embedding_sets import block_dimension
from vitrine.errors import ContractError, UncoveredHeadError
from vitrine.heads import head_rows
from vitrine.identity import ID_LENGTH, content_id
from vitrine.ledger import Head
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

ROW_COLUMNS = ("item_id", "embedding_key", "source_id", "row_group")


def resolve_head(settings: Settings, *, catalog_id: str, fingerprint: str) -> str:
    """Writes the embedding set of a catalog's head as it is now; returns its id.

    The id hashes the encoder, the manifests and the rows: a price change moves it, and by `rows_digest` the build still
    knows that no vector changed.

    Raises:
        ContractError: the head is empty.
        UncoveredHeadError: some of its units have no vectors under this encoder.
    """
    object_store = open_object_store(settings)
    ledger = open_ledger(settings)
    try:
        head = ledger.partitions.head(catalog_id)
        rows = read_rows(object_store, head)
        units = _units(rows)
        committed = ledger.blocks.committed(
            catalog_id=catalog_id, fingerprint=fingerprint, source_ids={source_id for source_id, _ in units}
        )
    finally:
        ledger.close()
    blocks = _covering(units, committed, catalog_id=catalog_id, fingerprint=fingerprint)
    digest = rows_digest(rows)
    dimension = block_dimension(object_store, blocks[0])
    identity = [catalog_id, fingerprint, head.head_sequence, head.manifests, digest, [b.block_id for b in blocks]]
    embedding_set = EmbeddingSet(
        embedding_set_id=content_id("embeddings", identity),
        catalog_id=catalog_id,
        fingerprint=fingerprint,
        dimension=dimension,
        head_sequence=head.head_sequence,
        manifests=head.manifests,
        items=rows.num_rows,
        rows_digest=digest,
        blocks=blocks,
    )
    key = keys.embedding_set(catalog_id, embedding_set.embedding_set_id)
    if not object_store.exists(key):
        object_store.put_bytes(key, embedding_set.to_bytes())
    return embedding_set.embedding_set_id


def read_rows(object_store: ObjectStore, head: Head) -> pa.Table:
    """Returns the head's rows, in order of item_id, as far as an index depends on them.

    Raises:
        ContractError: the head is empty, or an item stands in it twice.
    """
    if not head.manifests:
        raise ContractError(
            f"catalog {head.catalog_id}: no partition is published, so there is nothing to index; "
            f"run {head.catalog_id}.ingest_catalog for a day first"
        )
    rows = head_rows(object_store, head.manifests, head.catalog_id, list(ROW_COLUMNS))
    if not rows.num_rows:
        raise ContractError(
            f"catalog {head.catalog_id}: its {len(head.manifests)} partitions leave no item (all were deleted), so "
            "there is nothing to index; deliver items, or keep serving the live release"
        )
    distinct = pc.count_distinct(rows["item_id"]).as_py()
    if distinct != rows.num_rows:
        raise ContractError(
            f"catalog {head.catalog_id}: the head holds {rows.num_rows} rows of {distinct} items; "
            "an item stands in one manifest twice, which validation should have refused: validate the partitions again"
        )
    return rows


def rows_digest(rows: pa.Table) -> str:
    """Returns a hash of (item_id, embedding_key) in the rows' order."""
    digest = hashlib.sha256()
    for batch in rows.select(["item_id", "embedding_key"]).to_batches(max_chunksize=65_536):
        pairs = zip(batch.column("item_id").to_pylist(), batch.column("embedding_key").to_pylist(), strict=True)
        digest.update("".join(f"{json.dumps(pair)}\n" for pair in pairs).encode())
    return digest.hexdigest()[:ID_LENGTH]


def _units(rows: pa.Table) -> list[tuple[str, int]]:
    distinct = rows.select(["source_id", "row_group"]).group_by(["source_id", "row_group"]).aggregate([])
    return sorted((row["source_id"], row["row_group"]) for row in distinct.to_pylist())


def _covering(
    units: list[tuple[str, int]],
    committed: dict[tuple[str, int], EmbeddingBlock],
    *,
    catalog_id: str,
    fingerprint: str,
) -> tuple[EmbeddingBlock, ...]:
    missing = [unit for unit in units if unit not in committed]
    if missing:
        source_id, row_group = missing[0]
        raise UncoveredHeadError(
            f"catalog {catalog_id}: {len(missing)} of {len(units)} units of the head have no vectors under encoder "
            f"{fingerprint} (first: {source_id}, row group {row_group}); run "
            f"`spark_jobs embed --catalog {catalog_id} --head --fingerprint {fingerprint}`, then resolve again"
        )
    return tuple(committed[unit] for unit in units)
