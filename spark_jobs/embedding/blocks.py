"""Blocks of vectors: written under a key of the attempt's own, then committed by one unique insert in the ledger."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vitrine.contracts.datasets import EmbeddingBlock
from vitrine.identity import attempt_id, content_id
from vitrine.ledger.attempts import EmbeddingBlocks
from vitrine.storage import ObjectStore, keys


@dataclass(frozen=True)
class UnitVectors:
    """The vectors of one unit, and what computed them.

    Attributes:
        source_id, row_group: which unit.
        engine, precision: of the encoder.
        embedding_keys: names of the vectors, n of them.
        embeddings: (n, dimension), unit L2 norm; stored as float16.
        norms: (n,), L2 norms before normalisation.
    """

    source_id: str
    row_group: int
    engine: str
    precision: str
    embedding_keys: list[str]
    embeddings: NDArray[np.float32]
    norms: NDArray[np.float32]


def write_block(
    object_store: ObjectStore, blocks: EmbeddingBlocks, vectors: UnitVectors, *, catalog_id: str, fingerprint: str
) -> EmbeddingBlock | None:
    """Writes and commits the block of one unit; returns None, with nothing left behind, when another attempt was first.

    Args:
        object_store, blocks: where the block goes, and where it is committed.
        vectors: of the unit.
        catalog_id, fingerprint: whose unit, under which encoder.
    """
    unit, made_by = [vectors.source_id, vectors.row_group], [vectors.engine, vectors.precision]
    block_id = content_id("block", [catalog_id, *unit, fingerprint, *made_by, attempt_id()])
    block = EmbeddingBlock(
        block_id=block_id,
        key=keys.embedding_block(catalog_id, fingerprint, block_id),
        source_id=vectors.source_id,
        row_group=vectors.row_group,
        rows=len(vectors.embedding_keys),
        engine=vectors.engine,
        precision=vectors.precision,
    )
    metadata = {"fingerprint": fingerprint, "engine": vectors.engine, "precision": vectors.precision}
    data = block_bytes(vectors.embedding_keys, vectors.embeddings, vectors.norms, metadata=metadata)
    object_store.put_bytes(block.key, data)
    # An insert whose answer is lost raises: the object is then kept, since its row may stand in the ledger.
    if blocks.commit(catalog_id=catalog_id, fingerprint=fingerprint, block=block):
        return block
    object_store.delete(block.key)
    return None


def block_bytes(
    embedding_keys: list[str],
    embeddings: NDArray[np.float32],
    norms: NDArray[np.float32],
    *,
    metadata: dict[str, str],
) -> bytes:
    """Returns a block as Parquet; equal vectors are equal bytes."""
    halves = np.ascontiguousarray(embeddings, dtype=np.float16)  # (n, dimension)
    table = pa.table(
        {
            "embedding_key": pa.array(embedding_keys, pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(halves.reshape(-1)), halves.shape[1]),
            "norm": pa.array(np.asarray(norms, dtype=np.float32)),
        }
    ).replace_schema_metadata(metadata)
    stream = io.BytesIO()
    # Dictionaries cannot shrink vectors or hashes: they only cost a pass over them.
    pq.write_table(table, stream, compression="none", use_dictionary=False)
    return stream.getvalue()
