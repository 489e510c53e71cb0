"""One shard of an index version: its file, its refinement where it has one, opened by memory-mapping.

`index.faiss` answers searches. Where it holds codes too coarse to answer alone, `refinement.faiss` beside it holds the
same rows in 8 bits a dimension: candidates are compared again by it, and it gives vectors back. It is read page by page
as queries need it and costs no anonymous memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from vitrine.errors import ContractError
from vitrine.vector_index.structures import SearchStructure, Walk, refined, structure_of

INDEX_FILE = "index.faiss"
REFINEMENT_FILE = "refinement.faiss"


class Shard:
    """Rows `first_row` to `first_row + items - 1` of an index version; rows in its methods count from its own first.

    Attributes:
        first_row, items, dimension: where its rows lie and what they are.
        structure: how it is asked.
        paths: of its files that are mapped, the refinement's last.
    """

    def __init__(self, index: Any, refinement: Any, *, first_row: int, paths: tuple[Path, ...]) -> None:
        self.first_row = first_row
        self.items = int(index.ntotal)
        self.dimension = int(index.d)
        self._index = index
        self.paths = paths
        self._unrefined = structure_of(index)
        if refinement is None:
            self.structure: SearchStructure = self._unrefined
            self._searched, self._stored = index, index
        else:
            self.structure = refined(self._unrefined)
            self._searched, self._stored = faiss.IndexRefine(index, refinement), refinement
            self._refinement = refinement  # IndexRefine owns neither of the two

    def search(self, queries: NDArray[np.float32], walk: Walk) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Returns scores and rows, both (n, walk.top_k); row -1 and any score where nothing was found."""
        scores, rows = self._searched.search(queries, walk.top_k, params=self.structure.parameters(walk))
        return scores, rows

    def candidates(self, queries: NDArray[np.float32], walk: Walk) -> NDArray[np.int64]:
        """Returns rows around the queries, (n, walk.top_k), -1 where there is none, not compared by the refinement:
        what they are is not exact, and no page is read for it."""
        _, rows = self._index.search(queries, walk.top_k, params=self._unrefined.parameters(walk))
        return rows

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns the vectors of some rows as the shard holds them, not normalised: (len(rows), dimension)."""
        return self._stored.reconstruct_batch(np.ascontiguousarray(rows, dtype=np.int64))


def open_shard(folder: Path, *, first_row: int) -> Shard:
    """Opens the shard that lies in `folder`.

    Raises:
        ContractError: a file is missing, is no index, or the refinement does not hold the index's rows.
    """
    path, refinement_path = folder / INDEX_FILE, folder / REFINEMENT_FILE
    index = _read(path)
    if not refinement_path.is_file():
        _map_rows(index)
        return Shard(index, None, first_row=first_row, paths=(path,))
    refinement = _read(refinement_path)
    if (refinement.ntotal, refinement.d) != (index.ntotal, index.d):
        raise ContractError(
            f"{refinement_path}: expected the {index.ntotal} rows of {index.d} dimensions of the index beside it, "
            f"found {refinement.ntotal} of {refinement.d}; fetch the index version again"
        )
    return Shard(index, refinement, first_row=first_row, paths=(path, refinement_path))


def read_through(path: Path) -> int:
    """Reads a file so that its pages lie in the cache; returns its bytes."""
    size, page = 0, bytearray(1 << 22)
    with path.open("rb", buffering=0) as stream:
        while read := stream.readinto(page):
            size += read
    return size


def _read(path: Path) -> Any:
    if not path.is_file():
        raise ContractError(f"{path}: expected an index file, found none; fetch the index version again")
    try:
        # IO_FLAG_MMAP has no effect on HNSW and makes IVF ten times slower; this flag maps both.
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise ContractError(f"{path} is not an index that this faiss reads: {error}") from error


def _map_rows(index: Any) -> None:
    """Without a refinement the rows of inverted lists are found through a map only: 8 bytes a vector."""
    if structure_of(index).lists:
        faiss.extract_index_ivf(index).make_direct_map()
