"""Exact search of one task by one retriever, and what each query got for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.samples import Sample
from training.evaluate.retrievers import Retriever
from training.evaluate.tasks.task import Relevance, Task
from vitrine.errors import ContractError
from vitrine.retrieval.metrics import (
    average_precision,
    capped_recall_at_k,
    mrr,
    ndcg,
    precision_at_k,
    r_precision,
    recall_at_k,
)

DEPTH = 1_000
SHOWN = 10
METRICS = ("recall_at_1", "recall_at_5", "recall_at_10", "precision_at_10", "mrr", "map", "ndcg_at_10")
_CELLS_AT_ONCE = 16_000_000  # of the matrix of scores: 64 MB
SAME_PARENT, SAME_LOOK, SAME_TYPE = 3.0, 2.0, 1.0
_RIGHT: Mapping[Relevance, float] = {"parent": SAME_PARENT, "look": SAME_LOOK, "category": SAME_TYPE}


@dataclass(frozen=True)
class TaskAnswers:
    """What one retriever answered to one task.

    Attributes:
        retriever: its name.
        rankings: (n_queries, up to 10), int64: places in the task's gallery, best first; -1 where nothing is left.
        scores: the same shape, float32.
        right: (n_queries, up to 10), bool: which of them are right answers.
        values: metric to (n_queries,), float64, in [0, 1].
    """

    retriever: str
    rankings: NDArray[np.int64]
    scores: NDArray[np.float32]
    right: NDArray[np.bool_]
    values: dict[str, NDArray[np.float64]]


def answer(
    task: Task,
    retriever: Retriever,
    *,
    metrics: Sequence[str] = METRICS,
    on_progress: Callable[[int], None] | None = None,
) -> TaskAnswers:
    """Searches the whole gallery for each query, a bounded number of scores at a time.

    MRR and mAP look at the first 1,000 places. Equal scores keep the gallery's order.

    Args:
        metrics: that are computed.
        on_progress: called with how many queries were answered since the last call.

    Raises:
        ContractError: a score is not a number, or a query has no right answer.
    """
    judge = _Judge(task)
    rows = max(1, _CELLS_AT_ONCE // len(task.entries))
    depth = min(DEPTH, len(task.entries))
    shown: list[NDArray[np.int64]] = []
    shown_scores: list[NDArray[np.float32]] = []
    shown_right: list[NDArray[np.bool_]] = []
    values: dict[str, list[float]] = {metric: [] for metric in metrics}
    for start in range(0, len(task.queries), rows):
        queries = task.queries[start : start + rows]
        scores = retriever.scores(queries, task.entries)  # (n_queries, n_entries)
        if scores.shape != (len(queries), len(task.entries)) or not np.isfinite(scores).all():
            raise ContractError(f"{retriever.name} on {task.name}: expected finite scores {(len(queries), depth)}")
        for place, row in enumerate(scores, start=start):
            ranking = ranked(row, depth=depth, excluded=judge.excluded(place))
            judged = judge.judged(ranking, query=place)
            for metric in metrics:
                values[metric].append(_METRICS[metric](judged))
            top = np.full(SHOWN, -1, dtype=np.int64)
            top[: len(ranking[:SHOWN])] = ranking[:SHOWN]
            shown.append(top)
            shown_scores.append(np.where(top >= 0, row[top], 0).astype(np.float32))
            shown_right.append(np.isin(top, list(judged.relevant)))
        if on_progress is not None:
            on_progress(len(queries))
    return TaskAnswers(
        retriever=retriever.name,
        rankings=np.stack(shown),
        scores=np.stack(shown_scores),
        right=np.stack(shown_right),
        values={metric: np.asarray(found, dtype=np.float64) for metric, found in values.items()},
    )


def ranked(scores: NDArray[np.float32], *, depth: int, excluded: int | None = None) -> NDArray[np.int64]:
    """Returns the places of the highest scores, best first: (up to depth,); equal scores keep their order.

    Args:
        scores: (n,), of one query.
        excluded: the place of the question itself, which is no answer.
    """
    kept = min(depth + 1, len(scores))
    if kept < len(scores):
        limit = np.partition(scores, len(scores) - kept)[len(scores) - kept]
        chosen = np.flatnonzero(scores >= limit)  # all that tie with the last one, so that ties keep their order
    else:
        chosen = np.arange(len(scores))
    order = chosen[np.argsort(-scores[chosen], kind="stable")]
    return order[order != excluded][:depth] if excluded is not None else order[:depth]


@dataclass(frozen=True)
class _Judged:
    """One query's ranking, and what of the gallery is worth something to it.

    Attributes:
        ranking: places in the gallery, best first.
        relevant: places of the right answers.
        grades: (n_entries,), float32, of the whole gallery.
    """

    ranking: list[int]
    relevant: set[int]
    grades: NDArray[np.float32]

    def ndcg_at_10(self) -> float:
        # The ten best grades make the ideal, the ten first places the gain: other grades change nothing.
        best = np.argsort(-self.grades, kind="stable")[:SHOWN].tolist()
        graded = {place: float(self.grades[place]) for place in {*best, *self.ranking[:SHOWN]}}
        return ndcg(self.ranking, graded, top_k=10)


_METRICS: Mapping[str, Callable[[_Judged], float]] = {
    "recall_at_1": lambda judged: recall_at_k(judged.ranking, judged.relevant, top_k=1),
    "recall_at_5": lambda judged: recall_at_k(judged.ranking, judged.relevant, top_k=5),
    "recall_at_10": lambda judged: recall_at_k(judged.ranking, judged.relevant, top_k=10),
    "capped_recall_at_10": lambda judged: capped_recall_at_k(judged.ranking, judged.relevant, top_k=10),
    "precision_at_10": lambda judged: precision_at_k(judged.ranking, judged.relevant, top_k=10),
    "r_precision": lambda judged: r_precision(judged.ranking, judged.relevant),
    "mrr": lambda judged: mrr(judged.ranking, judged.relevant),
    "map": lambda judged: average_precision(judged.ranking, judged.relevant),
    "ndcg_at_10": _Judged.ndcg_at_10,
}


class _Judge:
    """Grades the gallery for each query of a task: 3 the same parent, 2 the same type and colour, 1 the same type."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._place = {entry.entry_id: place for place, entry in enumerate(task.entries)}
        self._parents = _Codes([entry.parent_id for entry in task.entries])
        self._types = _Codes([entry.item.category for entry in task.entries])
        self._looks = _Codes([_look(entry.item) for entry in task.entries])

    def excluded(self, query: int) -> int | None:
        return self._place.get(self._task.queries[query].excluded or "")

    def judged(self, ranking: NDArray[np.int64], *, query: int) -> _Judged:
        grades = self._grades(query)
        relevant = set(np.flatnonzero(grades >= _RIGHT[self._task.relevance]).tolist())
        if not relevant:
            raise ContractError(f"{self._task.name}: query {self._task.queries[query].query_id} has no right answer")
        return _Judged(ranking.tolist(), relevant, grades)

    def _grades(self, number: int) -> NDArray[np.float32]:
        query = self._task.queries[number]
        grades = np.zeros(len(self._task.entries), dtype=np.float32)
        grades[self._types.where(query.item.category)] = SAME_TYPE
        if self._task.relevance != "category":
            grades[self._looks.where(_look(query.item))] = SAME_LOOK
        if self._task.relevance == "parent":
            for parent_id in query.parent_ids:
                grades[self._parents.where(parent_id)] = SAME_PARENT
        if (excluded := self.excluded(number)) is not None:
            grades[excluded] = 0
        return grades


class _Codes:
    """Where each value of a column stands."""

    def __init__(self, values: Sequence[str | None]) -> None:
        places: dict[str, list[int]] = {}
        for place, value in enumerate(values):
            if value is not None:
                places.setdefault(value, []).append(place)
        self._places = {value: np.array(found, dtype=np.int64) for value, found in places.items()}

    def where(self, value: str | None) -> NDArray[np.int64]:
        return self._places.get(value or "", np.empty(0, dtype=np.int64))


def _look(item: Sample) -> str | None:
    return f"{item.category}\n{item.color}" if item.category and item.color else None
