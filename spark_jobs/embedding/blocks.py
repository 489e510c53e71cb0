"""Blocks of vectors: written under a key of the attempt's own, then committed by one unique insert in the ledger."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vitrine.contracts.datasets import EmbeddingBlock
from vitrine.identity import attempt_id, content_id
from vitrine.ledger import Ledger
from vitrine.storage import ObjectStore, keys


def write_block(
    object_store: ObjectStore,
    ledger: Ledger,
    *,
    catalog_id: str,
    fingerprint: str,
    source_id: str,
    row_group: int,
    engine: str,
    precision: str,
    embedding_keys: list[str],
    embeddings: NDArray[np.float32],
    norms: NDArray[np.float32],
) -> EmbeddingBlock | None:
    """Writes and commits the block of one unit; returns None, with nothing left behind, when another attempt was first.

    Args:
        embedding_keys: names of the vectors, n of them.
        embeddings: (n, dimension), unit L2 norm; stored as float16.
        norms: (n,), L2 norms before normalisation.
    """
    attempt = attempt_id()
    block_id = content_id("block", [catalog_id, source_id, row_group, fingerprint, engine, precision, attempt])
    block = EmbeddingBlock(
        block_id=block_id,
        key=keys.embedding_block(catalog_id, fingerprint, block_id),
        source_id=source_id,
        row_group=row_group,
        rows=len(embedding_keys),
        engine=engine,
        precision=precision,
    )
    metadata = {"fingerprint": fingerprint, "engine": engine, "precision": precision}
    object_store.put_bytes(block.key, block_bytes(embedding_keys, embeddings, norms, metadata=metadata))
    # An insert whose answer is lost raises: the object is then kept, since its row may stand in the ledger.
    if ledger.blocks.commit(catalog_id=catalog_id, fingerprint=fingerprint, block=block):
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
