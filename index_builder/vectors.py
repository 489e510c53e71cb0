"""Vectors of an embedding set in the order of the head's rows, on disk as float16: memory stays bounded.

Blocks lie in the order in which pictures were delivered, rows in order of item_id. So each block is read once, its
vectors go to their rows of one mapped file, and everything after reads that file in batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vitrine.contracts.datasets import EmbeddingSet
from vitrine.embedding_sets import BlockVectors, read_blocks, unit_rows
from vitrine.errors import ContractError
from vitrine.progress import progress
from vitrine.storage import ObjectStore

BATCH_ROWS = 8_192


class RowVectors:
    """The vectors of all rows, mapped from a file.

    Attributes:
        items, dimension: the shape.
    """

    def __init__(self, halves: NDArray[np.float16]) -> None:
        self.items, self.dimension = halves.shape
        self._halves = halves

    def rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns some rows: (len(rows), dimension), float32, unit L2 norm."""
        return unit_rows(self._halves[rows])

    def batches(self, *, batch_rows: int = BATCH_ROWS) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yields (first row, (n, dimension) float32 of unit L2 norm) over all rows, in order."""
        for start in range(0, self.items, batch_rows):
            yield start, unit_rows(self._halves[start : start + batch_rows])

    def sample(self, count: int, *, seed: int) -> NDArray[np.int64]:
        """Returns up to `count` distinct rows, drawn over the whole set, in order."""
        generator = np.random.default_rng(seed)
        drawn = generator.choice(self.items, size=min(count, self.items), replace=False)
        return np.sort(drawn).astype(np.int64)


def gather_vectors(object_store: ObjectStore, embedding_set: EmbeddingSet, rows: pa.Table, *, path: Path) -> RowVectors:
    """Writes the vectors of `rows` to a file at `path` and maps it.

    Args:
        rows: item_id, embedding_key, source_id and row_group, in the index's order.

    Raises:
        ContractError: a block lacks the vector of a row, or has another dimension.
    """
    halves = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float16, shape=(rows.num_rows, embedding_set.dimension)
    )
    positions_of = _rows_by_unit(rows)
    embedding_keys = rows["embedding_key"].combine_chunks()
    filled = 0
    with progress(f"{embedding_set.catalog_id}: reading vectors", total=rows.num_rows) as advance:
        for vectors in read_blocks(object_store, embedding_set.blocks):
            positions = positions_of.get((vectors.block.source_id, vectors.block.row_group))
            if positions is None:
                continue
            halves[positions] = _vectors_of(vectors, embedding_keys.take(pa.array(positions)), embedding_set)
            filled += len(positions)
            advance(len(positions))
    if filled != rows.num_rows:
        raise ContractError(
            f"embedding set {embedding_set.embedding_set_id}: its blocks cover {filled} of {rows.num_rows} rows of the "
            "head; resolve the head again"
        )
    return RowVectors(halves)


def _vectors_of(vectors: BlockVectors, wanted: pa.StringArray, embedding_set: EmbeddingSet) -> NDArray[np.float16]:
    if vectors.dimension != embedding_set.dimension:
        raise ContractError(
            f"block {vectors.block.block_id}: expected {embedding_set.dimension} dimensions, found "
            f"{vectors.dimension}; blocks of two encoders under one fingerprint: embed the catalog again"
        )
    places = pc.index_in(wanted, value_set=vectors.embedding_keys)
    if places.null_count:
        first = wanted.filter(pc.is_null(places))[0].as_py()
        raise ContractError(
            f"block {vectors.block.block_id} of {vectors.block.source_id} row group {vectors.block.row_group}: "
            f"{places.null_count} of {len(wanted)} vectors are not in it (first: {first}); embed that unit again"
        )
    found = vectors.halves[places.to_numpy(zero_copy_only=False)]
    if not np.isfinite(found).all():
        raise ContractError(f"block {vectors.block.block_id}: holds vectors that are not finite; embed that unit again")
    return found


def _rows_by_unit(rows: pa.Table) -> dict[tuple[str, int], NDArray[np.int64]]:
    """Returns the row positions of each unit, ascending."""
    sources = rows["source_id"].combine_chunks().dictionary_encode()
    codes = sources.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    groups = rows["row_group"].to_numpy().astype(np.int64)
    names = sources.dictionary.to_pylist()
    order = np.lexsort((groups, codes))  # stable: rows of a unit stay ascending
    codes, groups = codes[order], groups[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(codes) != 0) | (np.diff(groups) != 0)])
    return {
        (names[codes[start]], int(groups[start])): order[start:stop]
        for start, stop in zip(starts, np.r_[starts[1:], len(order)], strict=True)
    }
