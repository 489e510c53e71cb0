"""The head under one encoder: which blocks cover it, written down as an embedding set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vitrine.connections import open_connections
from vitrine.contracts.datasets import EmbeddingBlock, EmbeddingSet
from vitrine.errors import ContractError, UncoveredHeadError
from vitrine.head.embedding_sets import block_dimension
from vitrine.head.reader import HeadReader, Unit
from vitrine.identity import ID_LENGTH, content_id
from vitrine.ledger import Head
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

ROW_COLUMNS = ("item_id", "embedding_key", "source_id", "row_group")
_MODULUS = 1 << 256


def resolve_head(settings: Settings, *, catalog_id: str, fingerprint: str) -> str:
    """Writes the embedding set of a catalog's head as it is now; returns its id.

    The id hashes the encoder, the manifests and the rows: a price change moves it, and by `rows_digest` the build still
    knows that no vector changed. The rows are read as a stream; what is kept of each is 8 bytes.

    Raises:
        ContractError: the head is empty, or an item stands in it twice.
        UncoveredHeadError: some of its units have no vectors under this encoder.
    """
    with open_connections(settings) as (object_store, ledger):
        head = ledger.partitions.head(catalog_id)
        digest, units = _read_head(object_store, head)
        committed = ledger.blocks.committed(
            catalog_id=catalog_id, fingerprint=fingerprint, source_ids={source_id for source_id, _ in units}
        )
        blocks = _covering(units, committed, catalog_id=catalog_id, fingerprint=fingerprint)
        embedding_set = _embedding_set(object_store, head, digest, blocks, fingerprint=fingerprint)
        key = keys.embedding_set(catalog_id, embedding_set.embedding_set_id)
        if not object_store.exists(key):
            object_store.put_bytes(key, embedding_set.to_bytes())
    return embedding_set.embedding_set_id


def _embedding_set(
    object_store: ObjectStore, head: Head, digest: RowsDigest, blocks: tuple[EmbeddingBlock, ...], *, fingerprint: str
) -> EmbeddingSet:
    catalog_id = head.catalog_id
    identity = [
        catalog_id,
        fingerprint,
        head.head_sequence,
        head.manifests,
        digest.value,
        [block.block_id for block in blocks],
    ]
    return EmbeddingSet(
        embedding_set_id=content_id("embeddings", identity),
        catalog_id=catalog_id,
        fingerprint=fingerprint,
        dimension=block_dimension(object_store, blocks[0]),
        head_sequence=head.head_sequence,
        manifests=head.manifests,
        items=digest.rows,
        rows_digest=digest.value,
        blocks=blocks,
    )


class RowsDigest:
    """A hash of the set of (item_id, embedding_key), whatever the order in which rows are added.

    The sum of the SHA-256 of the rows modulo 2^256 (AdHash: Bellare and Micciancio, Eurocrypt 1997): heads of any size
    are hashed as a stream, and each reader of them in an order of its own.

    Attributes:
        rows: added so far.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Adds rows that have columns `item_id` and `embedding_key`."""
        total = 0
        for item_id, key in zip(
            batch.column("item_id").to_pylist(), batch.column("embedding_key").to_pylist(), strict=True
        ):
            row = hashlib.sha256(f"{len(item_id)}:{item_id}{key}".encode()).digest()
            total += int.from_bytes(row, "big")
        self._sum = (self._sum + total) % _MODULUS
        self.rows += batch.num_rows

    @property
    def value(self) -> str:
        """The hash of what was added so far."""
        return hashlib.sha256(f"{self.rows}:{self._sum:064x}".encode()).hexdigest()[:ID_LENGTH]


def row_batches(object_store: ObjectStore, head: Head) -> Iterator[pa.RecordBatch]:
    """Yields the head's rows in no order, as far as an index depends on them.

    Raises:
        ContractError: the head is empty.
    """
    if not head.manifests:
        raise ContractError(
            f"catalog {head.catalog_id}: no partition is published, so there is nothing to index; "
            f"run {head.catalog_id}.ingest_catalog for a day first"
        )
    reader = HeadReader(object_store, catalog_id=head.catalog_id, manifests=head.manifests)
    is_empty = True
    for batch in reader.batches(list(ROW_COLUMNS)):
        is_empty = False
        yield batch
    if is_empty:
        raise ContractError(
            f"catalog {head.catalog_id}: its {len(head.manifests)} partitions leave no item (all were deleted), so "
            "there is nothing to index; deliver items, or keep serving the live release"
        )


def _read_head(object_store: ObjectStore, head: Head) -> tuple[RowsDigest, list[Unit]]:
    digest = RowsDigest()
    units: set[Unit] = set()
    hashes: list[NDArray[np.int64]] = []
    for batch in row_batches(object_store, head):
        digest.add(batch)
        ids = batch.column("item_id").to_pylist()
        hashes.append(np.fromiter(map(hash, ids), dtype=np.int64, count=len(ids)))
        distinct = pa.Table.from_batches([batch]).select(["source_id", "row_group"])
        for row in distinct.group_by(["source_id", "row_group"], use_threads=False).aggregate([]).to_pylist():
            units.add((row["source_id"], row["row_group"]))
    _check_distinct(object_store, head, np.concatenate(hashes))
    return digest, sorted(units)


def _check_distinct(object_store: ObjectStore, head: Head, hashes: NDArray[np.int64]) -> None:
    """Ids of equal hash are looked at again, by themselves: two ids of 100 million share one in 1 of 3,700 heads."""
    hashes.sort()
    doubled = {int(value) for value in np.unique(hashes[1:][np.diff(hashes) == 0])}
    if not doubled:
        return
    seen: set[str] = set()
    for batch in row_batches(object_store, head):
        for item_id in batch.column("item_id").to_pylist():
            if hash(item_id) not in doubled:
                continue
            if item_id in seen:
                raise ContractError(
                    f"catalog {head.catalog_id}: item {item_id!r} stands in the head twice; it stands in one manifest "
                    "twice, which validation should have refused: validate the partitions again"
                )
            seen.add(item_id)


def _covering(
    units: list[Unit],
    committed: dict[Unit, EmbeddingBlock],
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
