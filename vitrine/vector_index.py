"""The vector index that a release names: memory-mapped, thread-safe, with filters that never shrink an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from vitrine.contracts.releases import IndexVersion
from vitrine.errors import ContractError
from vitrine.row_sets import RowSet

INDEX_FILE = "index.faiss"

# Up to this many matches a filter is answered by comparing every match: exact, and cheaper than a graph walk that has
# to wade through rows that do not match.
_EXACT_MATCHES = 20_000
_EXACT_BATCH = 4_096  # rows reconstructed at a time: 8 MB at 512 dimensions
_WIDEST_EF_SEARCH = 2_048
_WIDER = 4  # times the width of a walk that came back short


class VectorIndex:
    """One opened index version. Row i is row i of the version's `rows/part-*.parquet`.

    Searches share nothing that changes, so any number of threads may search at once. The caller decides how many
    threads faiss itself uses (`faiss.omp_set_num_threads(1)` in a worker).

    Attributes:
        index_version, items, dimension: as in the version's manifest.
        search_parameters: `ef_search` or `nprobe`, as tuned by the build.
    """

    def __init__(self, index: Any, *, index_version: str, path: Path, search_parameters: dict[str, int]) -> None:
        self.index_version = index_version
        self.items = int(index.ntotal)
        self.dimension = int(index.d)
        self.search_parameters = dict(search_parameters)
        self._index = index
        self._path = path

    @classmethod
    def open(cls, folder: Path, index_version: IndexVersion) -> VectorIndex:
        """Opens the files of an index version that lie under `folder` by their names in the manifest.

        Raises:
            ContractError: a file is missing, is no index, or does not hold what the manifest says.
        """
        if len(index_version.shards) != 1:
            raise ContractError(
                f"index {index_version.index_version}: expected one shard, found {len(index_version.shards)}; "
                "this version of Vitrine serves one"
            )
        path = folder / index_version.shards[0] / INDEX_FILE
        index = read_index(path)
        opened = cls(
            index,
            index_version=index_version.index_version,
            path=path,
            search_parameters=index_version.search_parameters,
        )
        if (opened.items, opened.dimension) != (index_version.items, index_version.dimension):
            raise ContractError(
                f"index {index_version.index_version} at {path}: expected {index_version.items} rows of "
                f"{index_version.dimension} dimensions, found {opened.items} of {opened.dimension}; fetch it again"
            )
        return opened

    def search(
        self,
        queries: NDArray[np.float32],
        *,
        top_k: int,
        allowed: RowSet | NDArray[Any] | None = None,
        ef_search: int | None = None,
        left_out: int = 0,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Finds the nearest rows of each query.

        Args:
            queries: (n, dimension), float32, unit L2 norm.
            top_k: rows wanted for each query.
            allowed: a row set, a mask (items,), bool, or row ids: only these rows may come back. Whenever top_k rows
                are allowed, top_k come back.
            ef_search: instead of the tuned one, for tuning.
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
            return _nothing(len(queries), top_k)
        if allowed is None:
            scores, rows = self._index.search(queries, top_k, params=self._parameters(top_k, ef_search=ef_search))
            return self._completed(queries, scores, rows, top_k=top_k, matches=None)
        matches = self._matches(allowed)
        if matches.count == self.items:
            return self.search(queries, top_k=top_k, ef_search=ef_search)
        if matches.count <= _EXACT_MATCHES:
            return self.search_exactly(queries, top_k=top_k, rows=matches.ids)
        scores, rows = self._search_matches(
            queries, top_k=top_k, matches=matches, ef_search=ef_search, left_out=left_out
        )
        return self._completed(queries, scores, rows, top_k=top_k, matches=matches)

    def search_exactly(
        self, queries: NDArray[np.float32], *, top_k: int, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Compares the queries with every one of `rows`, in batches; shapes as in `search`."""
        best_scores, best_rows = _nothing(len(queries), top_k)
        for start in range(0, len(rows), _EXACT_BATCH):
            batch = np.ascontiguousarray(rows[start : start + _EXACT_BATCH], dtype=np.int64)
            scores = queries @ self._index.reconstruct_batch(batch).T  # (n, batch)
            candidates = np.concatenate([best_scores, scores], axis=1)
            candidate_rows = np.concatenate([best_rows, np.broadcast_to(batch, scores.shape)], axis=1)
            # Stable, so that equal scores keep the order of rows and an answer is the same each time.
            order = np.argsort(-candidates, axis=1, kind="stable")[:, :top_k]
            best_scores = np.take_along_axis(candidates, order, axis=1)
            best_rows = np.take_along_axis(candidate_rows, order, axis=1)
        return _bounded(best_scores), best_rows

    def reconstruct(self, row: int) -> NDArray[np.float32]:
        """Returns the vector of a row as the index holds it: (dimension,), float32, unit L2 norm.

        Raises:
            ContractError: there is no such row.
        """
        if not 0 <= row < self.items:
            raise ContractError(f"index {self.index_version}: expected a row from 0 to {self.items - 1}, found {row}")
        vector = np.asarray(self._index.reconstruct(int(row)), dtype=np.float32)
        return vector / max(float(np.linalg.norm(vector)), 1e-12)

    def touch(self) -> int:
        """Reads the whole mapped file, so that first queries after a swap meet no cold disk; returns its bytes."""
        size, page = 0, bytearray(1 << 22)
        with self._path.open("rb", buffering=0) as stream:
            while read := stream.readinto(page):
                size += read
        return size

    def _search_matches(
        self, queries: NDArray[np.float32], *, top_k: int, matches: RowSet, ef_search: int | None, left_out: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Searches among matches, in a graph ever wider for queries that came back short.

        Where more rows than the walk is wide are alike and none of them matches (a product's views that a search has
        shown already), it ends among them; comparing all matches instead would cost every such query the catalog.
        """
        selector = faiss.IDSelectorBitmap(matches.bits)  # type: ignore[call-arg,arg-type]
        kept = matches.count / self.items
        parameters = self._parameters(top_k, ef_search=ef_search, kept=kept, selector=selector, left_out=left_out)
        scores, rows = self._index.search(queries, top_k, params=parameters)
        if not isinstance(self._index, faiss.IndexHNSW):
            return scores, rows
        wanted, links = min(top_k, matches.count), self._index.hnsw.nb_neighbors(0)  # type: ignore[attr-defined]
        width = parameters.efSearch * _WIDER
        # Each step of a walk compares a row's links: a wider one would cost as much as comparing all matches.
        while width * links < matches.count and len(short := _short(rows, wanted)):
            parameters = self._parameters(top_k, ef_search=width, selector=selector)
            scores[short], rows[short] = self._index.search(queries[short], top_k, params=parameters)
            width *= _WIDER
        return scores, rows

    def _parameters(
        self, top_k: int, *, ef_search: int | None = None, kept: float = 1.0, selector: Any = None, left_out: int = 0
    ) -> Any:
        """Parameters of one search: shared by nobody, so that concurrent filters never meet."""
        wanted = {"sel": selector} if selector is not None else {}
        if isinstance(self._index, faiss.IndexHNSW):
            ef = ef_search or self.search_parameters.get("ef_search", 64)
            ef += min(left_out, _WIDEST_EF_SEARCH)  # they take up places of the walk, and none of the answer
            # A walk that keeps one row in ten has to visit about ten times as many to find as many.
            widened = min(int(ef / kept), _WIDEST_EF_SEARCH)
            return faiss.SearchParametersHNSW(efSearch=max(ef, widened, top_k), **wanted)  # type: ignore[attr-defined]
        if isinstance(self._index, faiss.IndexIVF):
            nprobe = self.search_parameters.get("nprobe", 16)
            return faiss.SearchParametersIVF(nprobe=min(int(nprobe / kept), self._index.nlist), **wanted)  # type: ignore[call-arg]
        return faiss.SearchParameters(**wanted)

    def _completed(
        self,
        queries: NDArray[np.float32],
        scores: NDArray[np.float32],
        rows: NDArray[np.int64],
        *,
        top_k: int,
        matches: RowSet | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Answers exactly the queries for which an approximate search came back short."""
        scores = np.where(rows < 0, -np.inf, scores).astype(np.float32)
        available = self.items if matches is None else matches.count
        short = _short(rows, min(top_k, available))
        if len(short):
            everything = np.arange(self.items, dtype=np.int64) if matches is None else matches.ids
            scores[short], rows[short] = self.search_exactly(queries[short], top_k=top_k, rows=everything)
        return _bounded(scores), rows

    def _matches(self, allowed: RowSet | NDArray[Any]) -> RowSet:
        if not isinstance(allowed, RowSet):
            allowed = np.asarray(allowed)
            if allowed.dtype != np.bool_:
                return RowSet.of_ids(np.unique(allowed), items=self.items)
            allowed = RowSet.of_mask(allowed)
        if allowed.items != self.items:
            raise ContractError(f"expected a mask of {self.items} rows, or a set of so many, found {allowed.items}")
        return allowed


def read_index(path: Path) -> Any:
    """Opens a faiss index file, memory-mapped.

    Raises:
        ContractError: the file is missing or is no index.
    """
    if not path.is_file():
        raise ContractError(f"{path}: expected an index file, found none; fetch the index version again")
    try:
        # IO_FLAG_MMAP has no effect on HNSW and makes IVF ten times slower; this flag maps both.
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise ContractError(f"{path} is no index that this faiss reads: {error}") from error
    if isinstance(index, faiss.IndexIVF):
        index.make_direct_map()  # rows are found by their id only through this map
    return index


def _short(rows: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """Returns which queries have fewer rows than wanted."""
    return np.flatnonzero((rows >= 0).sum(axis=1) < wanted)


def _nothing(queries: int, top_k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    return np.full((queries, top_k), -np.inf, dtype=np.float32), np.full((queries, top_k), -1, dtype=np.int64)


def _bounded(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Quantized vectors are a little longer or shorter than 1: a cosine never is."""
    return np.where(np.isfinite(scores), np.clip(scores, -1.0, 1.0), scores).astype(np.float32)
