"""Vectors of a part, streamed from its blocks in row order: a block or two in memory, each read once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index_builder.builds.parts.cutting import PartRows, unit_bounds
from vitrine.errors import ContractError
from vitrine.head.embedding_sets import BlockVectors, read_blocks, unit_rows
from vitrine.storage import ObjectStore

BATCH_ROWS = 8_192
_FETCHED_AHEAD = 64 << 20  # bytes of blocks: a unit of a catalog that brings vectors can be large


def part_halves(object_store: ObjectStore, part: PartRows, *, dimension: int) -> Iterator[NDArray[np.float16]]:
    """Yields the vectors of each unit of a part, in row order: (n, dimension) as stored.

    Raises:
        ContractError: a block lacks the vector of a row, or has another dimension.
    """
    yield from _units(object_store, part, None, dimension=dimension)


def sampled_vectors(
    object_store: ObjectStore, part: PartRows, places: NDArray[np.int64], *, dimension: int
) -> NDArray[np.float32]:
    """Returns some rows' vectors, (len(places), dimension) of unit L2 norm; only blocks that hold them are read.

    Args:
        places: rows of the part, ascending.
    """
    found = list(_units(object_store, part, places, dimension=dimension))
    return unit_rows(np.concatenate(found)) if found else np.empty((0, dimension), dtype=np.float32)


def unit_batches(
    halves: Iterable[NDArray[np.float16]], *, batch_rows: int = BATCH_ROWS
) -> Iterator[NDArray[np.float32]]:
    """Yields vectors in batches of about `batch_rows`, as float32 of unit L2 norm, in order."""
    waiting: list[NDArray[np.float16]] = []
    rows = 0
    for some in halves:
        for start in range(0, len(some), batch_rows):
            waiting.append(some[start : start + batch_rows])
            rows += len(waiting[-1])
            if rows >= batch_rows:
                yield unit_rows(np.concatenate(waiting))
                waiting, rows = [], 0
    if waiting:
        yield unit_rows(np.concatenate(waiting))


def _units(
    object_store: ObjectStore, part: PartRows, places: NDArray[np.int64] | None, *, dimension: int
) -> Iterator[NDArray[np.float16]]:
    """Yields the vectors of each unit that holds any of `places`; None stands for all rows."""
    keys = part.table["embedding_key"].combine_chunks()
    bounds = unit_bounds(part.table)
    if len(bounds) != len(part.blocks) + 1:
        raise ContractError(
            f"{part.part_id}: expected {len(part.blocks)} units, one for each of its blocks, found {len(bounds) - 1}; "
            "plan the build again"
        )
    drawn = np.arange(bounds[-1]) if places is None else places
    of_unit = np.split(drawn, np.searchsorted(drawn, bounds[1:-1]))
    wanted = [(block, rows) for block, rows in zip(part.blocks, of_unit, strict=True) if len(rows)]
    largest = max((block.rows for block, _ in wanted), default=1) * dimension * 2
    threads = max(1, min(4, _FETCHED_AHEAD // largest))
    fetched = read_blocks(object_store, [block for block, _ in wanted], threads=threads)
    for (_, rows), vectors in zip(wanted, fetched, strict=True):
        yield _vectors_of(vectors, keys.take(pa.array(rows)), dimension=dimension)


def _vectors_of(vectors: BlockVectors, wanted: pa.StringArray, *, dimension: int) -> NDArray[np.float16]:
    if vectors.dimension != dimension:
        raise ContractError(
            f"block {vectors.block.block_id}: expected {dimension} dimensions, found "
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
