"""Embedding sets and the blocks that they list: reading them back as unit vectors."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vitrine.contracts.datasets import EmbeddingBlock, EmbeddingSet
from vitrine.errors import ContractError
from vitrine.lookahead import ahead
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_file import open_parquet


@dataclass(frozen=True)
class BlockVectors:
    """The contents of one block.

    Attributes:
        embedding_keys: (n,) strings.
        halves: (n, dimension), float16, as stored; `unit_rows` makes unit vectors of them.
        norms: (n,), float32, L2 norms before normalisation.
    """

    block: EmbeddingBlock
    embedding_keys: pa.StringArray
    halves: NDArray[np.float16]
    norms: NDArray[np.float32]

    @property
    def dimension(self) -> int:
        """Of the vectors."""
        return int(self.halves.shape[1])


def read_embedding_set(object_store: ObjectStore, catalog_id: str, embedding_set_id: str) -> EmbeddingSet:
    """Reads one embedding set.

    Raises:
        ObjectMissingError: it was never written.
    """
    return EmbeddingSet.from_bytes(object_store.get_bytes(keys.embedding_set(catalog_id, embedding_set_id)))


def read_block(object_store: ObjectStore, block: EmbeddingBlock) -> BlockVectors:
    """Reads one block.

    Raises:
        ObjectMissingError: its object is gone.
        ContractError: the object holds something else than the ledger says.
    """
    where = f"s3://{object_store.bucket}/{block.key}"
    try:
        table = pq.read_table(io.BytesIO(object_store.get_bytes(block.key))).combine_chunks()
    except pa.ArrowInvalid as error:
        raise ContractError(f"{where}: expected an embedding block, found: {error}") from error
    dimension = _dimension(table.schema, where)
    if table.num_rows != block.rows:
        raise ContractError(f"{where}: expected {block.rows} vectors, found {table.num_rows}")
    flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return BlockVectors(
        block=block,
        embedding_keys=table["embedding_key"].combine_chunks(),
        halves=np.asarray(flat, dtype=np.float16).reshape(-1, dimension),
        norms=table["norm"].to_numpy().astype(np.float32),
    )


def read_blocks(
    object_store: ObjectStore, blocks: Iterable[EmbeddingBlock], *, threads: int = 4
) -> Iterator[BlockVectors]:
    """Yields blocks in the order given, fetched ahead in threads; at most `threads + 1` are in memory at once."""
    with ThreadPoolExecutor(threads) as pool:
        yield from ahead(pool, partial(read_block, object_store), blocks, limit=threads - 1)


def block_dimension(object_store: ObjectStore, block: EmbeddingBlock) -> int:
    """Returns the dimension of a block's vectors; only the footer is read."""
    with open_parquet(object_store, block.key) as parquet:
        return _dimension(parquet.schema_arrow, f"s3://{object_store.bucket}/{block.key}")


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Returns rows of float16 (or any) vectors as float32 of unit L2 norm; a zero row stays zero."""
    full = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(full, axis=-1, keepdims=True)
    return (full / np.where(norms > 0, norms, 1)).astype(np.float32)


def _dimension(schema: pa.Schema, where: str) -> int:
    kind = schema.field("embedding").type if "embedding" in schema.names else None
    if kind is None or not pa.types.is_fixed_size_list(kind):
        raise ContractError(f"{where}: expected a column `embedding` of fixed_size_list, found {schema.names}")
    return int(kind.list_size)
