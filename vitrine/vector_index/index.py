"""The vector index that a release names: thread-safe, of one or several shards, with filters."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.contracts.releases import IndexVersion
from vitrine.errors import ContractError
from vitrine.row_arrays.row_sets import RowSet
from vitrine.vector_index.best import best_of, bounded, nothing
from vitrine.vector_index.filtered import search_filtered
from vitrine.vector_index.shards import REFINEMENT_FILE, Shard, open_shard, read_through
from vitrine.vector_index.structures import Walk

# Up to this many matches a filter is answered by comparing every match: exact, and cheaper than a graph walk that has
# to wade through rows that do not match.
_EXACT_MATCHES = 20_000
# A walk that came back short among matches that are at most this share of all rows is not worth repeating in full.
_EXACT_SHARE = 0.05
_EXACT_BATCH = 4_096  # rows reconstructed at a time: 8 MB at 512 dimensions


class VectorIndex:
    """One opened index version. Row i is row i of the version's `rows/part-*.parquet`.

    Searches share nothing that changes, so any number of threads may search at once. The caller decides how many
    threads faiss itself uses (`faiss.omp_set_num_threads(1)` in a worker).

    Attributes:
        index_version, items, dimension: as in the version's manifest.
        search_parameters: by name (`ef_search`, `nprobe`, `k_factor`), as tuned by the build.
        parameter_names: those that this index has.
        lists: inverted lists of the shard that has most; 0 where there are none.
    """

    def __init__(self, shards: Sequence[Shard], *, index_version: str, search_parameters: Mapping[str, int]) -> None:
        self.index_version = index_version
        self.items = sum(shard.items for shard in shards)
        self.dimension = shards[0].dimension
        self.search_parameters = dict(search_parameters)
        self.parameter_names = shards[0].structure.parameter_names
        self.lists = max(shard.structure.lists for shard in shards)
        self._shards = tuple(shards)

    @classmethod
    def open(cls, folder: Path, index_version: IndexVersion) -> VectorIndex:
        """Opens the files of an index version that lie under `folder` by their names in the manifest.

        Raises:
            ContractError: a file is missing, is no index, or does not hold what the manifest says.
        """
        for file in index_version.files:
            if file.name.endswith(f"/{REFINEMENT_FILE}") and not (folder / file.name).is_file():
                raise ContractError(f"{folder / file.name}: expected a refinement, found none; fetch it again")
        opened = cls.open_folders(
            [folder / shard for shard in index_version.shards],
            index_version=index_version.index_version,
            search_parameters=index_version.search_parameters,
        )
        if (opened.items, opened.dimension) != (index_version.items, index_version.dimension):
            raise ContractError(
                f"index {index_version.index_version} at {folder}: expected {index_version.items} rows of "
                f"{index_version.dimension} dimensions, found {opened.items} of {opened.dimension}; fetch it again"
            )
        return opened

    @classmethod
    def open_folders(
        cls, folders: Sequence[Path], *, index_version: str, search_parameters: Mapping[str, int] | None = None
    ) -> VectorIndex:
        """Opens shards that lie in folders, in the order of their rows.

        Raises:
            ContractError: there is none, a file is missing or is no index, or two differ in dimension or kind.
        """
        shards: list[Shard] = []
        for folder in folders:
            shards.append(open_shard(folder, first_row=sum(shard.items for shard in shards)))
            first, last = shards[0], shards[-1]
            if (last.dimension, last.structure.parameter_names) != (first.dimension, first.structure.parameter_names):
                raise ContractError(f"index {index_version}: shard {folder} is of another kind than {folders[0]}")
        if not shards:
            raise ContractError(f"index {index_version}: expected at least one shard, found none")
        return cls(shards, index_version=index_version, search_parameters=search_parameters or {})

    def search(
        self,
        queries: NDArray[np.float32],
        *,
        top_k: int,
        allowed: RowSet | NDArray[Any] | None = None,
        parameters: Mapping[str, int] | None = None,
        left_out: int = 0,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Finds the nearest rows of each query.

        Args:
            queries: (n, dimension), float32, unit L2 norm.
            top_k: rows wanted for each query.
            allowed: a row set, a mask (items,), bool, or row ids: only these rows may come back. Whenever top_k rows
                are allowed, top_k come back.
            parameters: instead of the tuned ones, for tuning.
            left_out: rows right around the queries that are not allowed, where the caller knows of them.

        Returns:
            scores: (n, top_k), float32, cosine similarity, descending; -inf where fewer rows exist.
            rows: (n, top_k), int64; -1 where fewer rows exist.

        Raises:
            ContractError: the queries' shape does not fit the index, or top_k is below 1.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise ContractError(f"expected queries of shape (n, {self.dimension}), found {queries.shape}")
        if top_k < 1:
            raise ContractError(f"expected top_k of at least 1, found {top_k}")
        if not len(queries) or not self.items:
            return nothing(len(queries), top_k)
        parameters = self.search_parameters if parameters is None else parameters
        matches = None if allowed is None else self._matches(allowed)
        if matches is not None and matches.count <= min(_EXACT_MATCHES, self.items - 1):
            return self.search_exactly(queries, top_k=top_k, rows=matches.ids)
        if matches is not None and matches.count == self.items:
            matches = None
        scores, rows = self._walk(queries, top_k, matches, parameters=parameters, left_out=left_out)
        return self._completed(queries, scores, rows, matches=matches, parameters=parameters, left_out=left_out)

    def search_exactly(
        self, queries: NDArray[np.float32], *, top_k: int, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Compares the queries with every one of `rows`, in batches; shapes as in `search`."""
        best = nothing(len(queries), top_k)
        for start in range(0, len(rows), _EXACT_BATCH):
            batch = np.ascontiguousarray(rows[start : start + _EXACT_BATCH], dtype=np.int64)
            scores = queries @ self._vectors(batch).T  # (n, batch)
            best = best_of(best, (scores, np.broadcast_to(batch, scores.shape)), top_k=top_k)
        return bounded(best[0]), best[1]

    def reconstruct(self, row: int) -> NDArray[np.float32]:
        """Returns the vector of a row as the index holds it: (dimension,), float32, unit L2 norm.

        Raises:
            ContractError: there is no such row.
        """
        if not 0 <= row < self.items:
            raise ContractError(f"index {self.index_version}: expected a row from 0 to {self.items - 1}, found {row}")
        vector = self._vectors(np.array([row], dtype=np.int64))[0]
        return vector / max(float(np.linalg.norm(vector)), 1e-12)

    def touch(self, *, refinement_bytes: int | None = None) -> int:
        """Reads what is mapped, so that first queries after a swap meet no cold disk; returns the bytes read.

        Args:
            refinement_bytes: up to which refinements are read too, together; by default a quarter of the machine's
                memory. Larger ones are made to be read page by page: reading them through would put the pages of the
                release that is serving out of the cache, and not stay there themselves.
        """
        refinements = [path for shard in self._shards for path in shard.paths[1:]]
        if refinement_bytes is None:
            refinement_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
        fits = sum(path.stat().st_size for path in refinements) <= refinement_bytes
        searched = [path for shard in self._shards for path in shard.paths[:1]]
        return sum(read_through(path) for path in searched + (refinements if fits else []))

    def _walk(
        self,
        queries: NDArray[np.float32],
        top_k: int,
        matches: RowSet | None,
        *,
        parameters: Mapping[str, int],
        left_out: int,
        widest: bool = False,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Asks every shard, and merges their answers."""
        best = nothing(len(queries), top_k)
        for shard in self._shards:
            wanted = Walk(parameters, top_k, widest=widest, left_out=left_out)
            found = (
                shard.search(queries, wanted) if matches is None else search_filtered(shard, queries, wanted, matches)
            )
            rows = np.where(found[1] < 0, -1, found[1] + shard.first_row)
            scores = np.where(rows < 0, -np.inf, found[0])
            best = best_of(best, (scores, rows), top_k=top_k)
        return best

    def _completed(
        self,
        queries: NDArray[np.float32],
        scores: NDArray[np.float32],
        rows: NDArray[np.int64],
        *,
        matches: RowSet | None,
        parameters: Mapping[str, int],
        left_out: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Answers the queries that came back short again: visiting all that can be visited, then exactly; at once
        exactly where that is cheaper."""
        top_k = rows.shape[1]
        matching = self.items if matches is None else matches.count
        wanted = min(top_k, matching)
        few = matching <= _EXACT_SHARE * self.items
        if not few and len(short := np.flatnonzero((rows >= 0).sum(axis=1) < wanted)):
            scores[short], rows[short] = self._walk(
                queries[short], top_k, matches, parameters=parameters, left_out=left_out, widest=True
            )
        if len(short := np.flatnonzero((rows >= 0).sum(axis=1) < wanted)):
            everything = np.arange(self.items, dtype=np.int64) if matches is None else matches.ids
            scores[short], rows[short] = self.search_exactly(queries[short], top_k=top_k, rows=everything)
        return bounded(scores), rows

    def _vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        if len(self._shards) == 1:
            return self._shards[0].vectors(rows)
        found = np.empty((len(rows), self.dimension), dtype=np.float32)
        for shard in self._shards:
            own = np.flatnonzero((rows >= shard.first_row) & (rows < shard.first_row + shard.items))
            if len(own):
                found[own] = shard.vectors(rows[own] - shard.first_row)
        return found

    def _matches(self, allowed: RowSet | NDArray[Any]) -> RowSet:
        if not isinstance(allowed, RowSet):
            allowed = np.asarray(allowed)
            if allowed.dtype != np.bool_:
                return RowSet.of_ids(np.unique(allowed), items=self.items)
            allowed = RowSet.of_mask(allowed)
        if allowed.items != self.items:
            raise ContractError(f"expected a mask of {self.items} rows, or a set of so many, found {allowed.items}")
        return allowed
