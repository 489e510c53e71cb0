"""Recall of an index against exact search over held-out queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_builder.measuring.held_out import HeldOutQueries
from index_builder.measuring.vectors import RowVectors
from vitrine.vector_index import VectorIndex

TOP_K = 10
_TIE = 1e-5  # float32 sums in another order differ by about 1e-7


@dataclass(frozen=True)
class GroundTruth:
    """What exact search answers to held-out queries.

    Attributes:
        least_scores: (n,), exact score of the last right answer of each query.
        top_k: right answers of each query.
    """

    queries: HeldOutQueries
    least_scores: NDArray[np.float32]
    top_k: int


def ground_truth(vectors: RowVectors, queries: HeldOutQueries) -> GroundTruth | None:
    """Returns None where nothing can be measured: no queries, or no row but the query's own."""
    available = vectors.items - int((queries.own_rows >= 0).any()) if len(queries) else 0
    if available < 1:
        return None
    top_k = min(TOP_K, available)
    return GroundTruth(queries, exact_scores(vectors, queries, top_k=top_k)[:, -1], top_k)


def exact_scores(vectors: RowVectors, queries: HeldOutQueries, *, top_k: int) -> NDArray[np.float32]:
    """Compares every query with every row, in batches; returns the best scores: (n, top_k), descending, -inf beyond the
    last row. A query's own row is left out."""
    best = np.full((len(queries), top_k), -np.inf, dtype=np.float32)
    for start, batch in vectors.batches():
        scores = queries.embeddings @ batch.T  # (n_queries, batch)
        own = queries.own_rows - start
        inside = np.flatnonzero((own >= 0) & (own < len(batch)))
        scores[inside, own[inside]] = -np.inf
        candidates = np.concatenate([best, scores], axis=1)
        # Sorting all of them would take seven times as long as comparing the vectors.
        best = np.partition(candidates, -top_k, axis=1)[:, -top_k:]
    return -np.sort(-best, axis=1)


def measure_recall(
    index: VectorIndex, truth: GroundTruth | None, vectors: RowVectors, *, parameters: Mapping[str, int]
) -> NDArray[np.float64] | None:
    """Returns for each query the share of its answers that belong among the exact top k: (n,); None without a truth.

    An answer counts by its exact score, not by its row: catalogs hold one picture under several ids, and of two equal
    rows either is right.
    """
    if truth is None:
        return None
    queries = truth.queries
    skip = int((queries.own_rows >= 0).any())
    _, rows = index.search(queries.embeddings, top_k=truth.top_k + skip, parameters=parameters)
    hits = np.zeros(len(queries))
    asked = zip(queries.embeddings, queries.own_rows, rows, truth.least_scores, strict=True)
    for number, (query, own, found, least) in enumerate(asked):
        kept = found[(found != own) & (found >= 0)][: truth.top_k]
        hits[number] = (vectors.rows(kept) @ query >= least - _TIE).sum()
    return hits / truth.top_k


def standard_error(shares: NDArray[np.float64]) -> float:
    """Returns that of their mean: s / sqrt(n), s with n - 1 degrees of freedom; 0 of a single one."""
    return float(shares.std(ddof=1) / np.sqrt(len(shares))) if len(shares) > 1 else 0.0
