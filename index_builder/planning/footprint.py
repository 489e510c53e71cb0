"""What a shard takes in memory and on disk, computed from how faiss 1.15 stores it.

Anonymous memory is what an opened shard allocates: fast-scan codes and row ids, the map from rows to lists where
nothing refines, one byte and two offsets a row of a graph. All else of its files is mapped. What cannot be computed
(allocations of each list) comes from the calibration.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import faiss

from index_builder.recipes import Recipe
from index_builder.recipes.lists import REFINED

_ID_BYTES = 8
_PAGE_BYTES = 4_096
_GRAPH_ROW_BYTES = 13  # anonymous: a level (4), an offset (8) and the mark of a visited row (1)
_DIRECT_MAP_BYTES = 8
_CENTROIDS_OF_A_PIECE = 256
_EVEN = (1.0,)


@dataclass(frozen=True)
class Footprint:
    """Bytes of one opened shard.

    Attributes:
        anonymous_bytes: memory that the machine cannot take back.
        walked_bytes: mapped, and read all over by every search: where they do not stay in memory, each query waits for
            the disk.
        mapped_bytes: all that is mapped of its files; beyond the walked, a few pages a query.
        disk_bytes: of its files.
    """

    anonymous_bytes: int
    walked_bytes: int
    mapped_bytes: int
    disk_bytes: int


def shard_footprint(
    recipe: Recipe, *, rows: int, dimension: int, list_bytes: float, list_sizes: Sequence[float]
) -> Footprint:
    """Returns what a shard of `rows` takes.

    Args:
        list_bytes: anonymous bytes of each inverted list beside its rows, from the calibration.
        list_sizes: quantiles of the sizes of lists, as shares of their mean, from the calibration.
    """
    index: Any = faiss.index_factory(dimension, recipe.index_key.removesuffix(REFINED), faiss.METRIC_INNER_PRODUCT)
    refined = rows * dimension if recipe.refines else 0
    lists = faiss.try_extract_index_ivf(index)
    if lists is not None:
        sizes = [share * rows / lists.nlist for share in list_sizes or _EVEN]
        found = _lists(index, faiss.downcast_index(lists), rows=rows, list_bytes=list_bytes, sizes=sizes)
        if not recipe.refines:
            found = replace(found, anonymous_bytes=found.anonymous_bytes + _DIRECT_MAP_BYTES * rows)
        return replace(found, mapped_bytes=found.mapped_bytes + refined, disk_bytes=found.disk_bytes + refined)
    if isinstance(index, faiss.IndexHNSW):
        return _graph(index, rows=rows)
    disk = rows * int(index.sa_code_size())
    return Footprint(0, disk, disk, disk)


def _graph(index: Any, *, rows: int) -> Footprint:
    """A row has its code, its level (4 bytes), its offset (8), and links: 2 M at the bottom, M in each level above."""
    links_above = index.hnsw.nb_neighbors(1)
    links = 2 * links_above + links_above / (links_above - 1)
    disk = rows * (int(index.storage.sa_code_size()) + 12 + round(4 * links))
    return Footprint(_GRAPH_ROW_BYTES * rows, disk, disk, disk)


def _lists(index: Any, lists: Any, *, rows: int, list_bytes: float, sizes: Sequence[float]) -> Footprint:
    packer = lists.get_CodePacker()
    centroids = 4 * lists.nlist * lists.d
    if packer.nvec > 1:
        blocks = [math.ceil(size / packer.nvec) * packer.block_size for size in sizes]
        on_disk = lists.nlist * sum(blocks) / len(blocks)
        on_heap = lists.nlist * sum(map(_resident, blocks)) / len(blocks) + _ID_BYTES * rows
    else:
        on_disk, on_heap = rows * lists.code_size, 0.0
    rotation = 4 * index.d**2 if isinstance(index, faiss.IndexPreTransform) else 0
    pieces = 4 * _CENTROIDS_OF_A_PIECE * lists.d if isinstance(lists, faiss.IndexIVFPQ) else 0
    anonymous = on_heap + list_bytes * lists.nlist + rotation + pieces
    disk = on_disk + _ID_BYTES * rows + centroids + rotation + pieces
    walked = max(0, round(disk - on_heap - rotation - pieces))
    return Footprint(round(anonymous), walked, walked, round(disk))


def _resident(size: int) -> float:
    """Returns the memory behind an aligned table of faiss: it takes the next power of two, of which the part behind the
    last used byte costs at most about a page."""
    if not size:
        return 0.0
    capacity = 2 ** max(8, math.ceil(math.log2(size)))
    return size + min(capacity - size, _PAGE_BYTES)
