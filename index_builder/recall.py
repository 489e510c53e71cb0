"""Recall of an index against exact search, and the cheapest search parameter that reaches the target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_builder.held_out import HeldOutQueries
from index_builder.recipes import Recipe
from index_builder.vectors import RowVectors
from vitrine.contracts.releases import RecallFigures
from vitrine.errors import GateError
from vitrine.vector_index import VectorIndex

TOP_K = 10
_TIE = 1e-5  # float32 sums in another order differ by about 1e-7


@dataclass(frozen=True)
class TunedSearch:
    """The search parameters that were chosen, and every setting that was tried on the way."""

    search_parameters: dict[str, int]
    recall: RecallFigures
    curve: tuple[tuple[int, RecallFigures], ...]


@dataclass(frozen=True)
class _GroundTruth:
    queries: HeldOutQueries
    least_scores: NDArray[np.float32]  # (n,): exact score of the last right answer
    top_k: int


def tune_search(
    index: VectorIndex, recipe: Recipe, vectors: RowVectors, *, images: HeldOutQueries, texts: HeldOutQueries
) -> TunedSearch:
    """Measures recall@10 of images and texts apart; takes the cheapest setting at which the worse one is enough.

    Raises:
        GateError: no setting reaches the recipe's target; the message names the best that was reached.
    """
    truths = [_ground_truth(vectors, queries) for queries in (images, texts)]
    curve: list[tuple[int, RecallFigures]] = []
    for setting in recipe.ladder or (0,):
        parameters = {recipe.parameter: setting} if recipe.parameter else {}
        index.search_parameters = parameters
        image, text = (_recall(index, truth, vectors) for truth in truths)
        figures = RecallFigures(image=image, text=text, queries_image=len(images), queries_text=len(texts))
        curve.append((setting, figures))
        if figures.worst is None or figures.worst >= recipe.recall_target:
            return TunedSearch(parameters, figures, tuple(curve))
    best_setting, best = max(curve, key=lambda point: point[1].worst or 0.0)
    raise GateError(
        f"index {index.index_version}, {recipe.index_key}: recall@10 of {best.worst:.4f} at best "
        f"({recipe.parameter or 'no parameter'} {best_setting}; images {_shown(best.image)}, "
        f"texts {_shown(best.text)}), "
        f"target {recipe.recall_target}; choose another VITRINE_INDEX_KEY or lower VITRINE_INDEX_RECALL_TARGET"
    )


def exact_top_k(
    vectors: RowVectors, queries: HeldOutQueries, *, top_k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Compares every query with every row, in batches: scores (n, top_k) descending and rows, -1 beyond the last."""
    scores = np.full((len(queries), top_k), -np.inf, dtype=np.float32)
    rows = np.full((len(queries), top_k), -1, dtype=np.int64)
    for start, batch in vectors.batches():
        found = queries.embeddings @ batch.T  # (n_queries, batch)
        own = queries.own_rows - start
        inside = np.flatnonzero((own >= 0) & (own < len(batch)))
        found[inside, own[inside]] = -np.inf
        candidates = np.concatenate([scores, found], axis=1)
        numbers = np.broadcast_to(np.arange(start, start + len(batch)), found.shape)
        candidate_rows = np.concatenate([rows, numbers], axis=1)
        order = np.argsort(-candidates, axis=1, kind="stable")[:, :top_k]
        scores = np.take_along_axis(candidates, order, axis=1)
        rows = np.take_along_axis(candidate_rows, order, axis=1)
    rows[np.isneginf(scores)] = -1
    return scores, rows


def _ground_truth(vectors: RowVectors, queries: HeldOutQueries) -> _GroundTruth | None:
    """Returns None where nothing can be measured: no queries, or no row but the query's own."""
    available = vectors.items - int((queries.own_rows >= 0).any()) if len(queries) else 0
    if available < 1:
        return None
    top_k = min(TOP_K, available)
    scores, _ = exact_top_k(vectors, queries, top_k=top_k)
    return _GroundTruth(queries, scores[:, -1], top_k)


def _recall(index: VectorIndex, truth: _GroundTruth | None, vectors: RowVectors) -> float | None:
    """Returns the share of answers that belong among the exact top k.

    An answer counts by its exact score, not by its row: catalogs hold one picture under several ids, and of two equal
    rows either is right.
    """
    if truth is None:
        return None
    queries = truth.queries
    skip = int((queries.own_rows >= 0).any())
    _, rows = index.search(queries.embeddings, top_k=truth.top_k + skip)
    hits = 0
    for query, own, found, least in zip(queries.embeddings, queries.own_rows, rows, truth.least_scores, strict=True):
        kept = found[(found != own) & (found >= 0)][: truth.top_k]
        hits += int((vectors.rows(kept) @ query >= least - _TIE).sum())
    return hits / (len(queries) * truth.top_k)


def _shown(recall: float | None) -> str:
    return "not measured" if recall is None else f"{recall:.4f}"
