"""The cheapest search setting that reaches the recall target, found by measuring, and the curve of what was tried.

Of many settings measured on a few hundred queries the cheapest that seems enough is too often one that was lucky. So a
setting is enough where its recall less one standard error reaches the target.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from index_builder.measuring.held_out import HeldOutQueries
from index_builder.measuring.recall import GroundTruth, ground_truth, measure_recall, standard_error
from index_builder.measuring.vectors import RowVectors
from vitrine.contracts.releases import RecallFigures
from vitrine.errors import GateError
from vitrine.processes.state import faiss_threads
from vitrine.settings import Settings
from vitrine.vector_index import VectorIndex

_LADDERS: dict[str, tuple[int, ...]] = {
    "ef_search": (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024),
    "nprobe": (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024),
    "k_factor": (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128),  # texts among 10 million pictures need more than 64
}
_TIMED_QUERIES = 64


@dataclass(frozen=True)
class TuningGoal:
    """What a build tunes to; enters the index version.

    Attributes:
        recall_target: recall@10 that the worse of images and texts must reach.
        queries: held out of each modality.
        seed: of their sample.
    """

    recall_target: float
    queries: int = 200
    seed: int = 20_261_101

    def identity(self) -> dict[str, Any]:
        """What enters the index version."""
        ladders = {name: list(ladder) for name, ladder in _LADDERS.items()}
        return {
            "recall_target": self.recall_target,
            "queries": self.queries,
            "seed": self.seed,
            "ladders": ladders,
            "enough": "one standard error above the target",
        }


def tuning_goal(settings: Settings) -> TuningGoal:
    """Returns the goal of the settings."""
    return TuningGoal(recall_target=settings.index_recall_target)


@dataclass(frozen=True)
class CurvePoint:
    """One setting as it was measured.

    Attributes:
        parameters: by name.
        recall: of images and texts apart.
        sure_recall: the worse of the two less its standard error; None where neither was measured.
        cpu_ms: CPU time of one query, one thread, one query at a time: the median.
    """

    parameters: dict[str, int]
    recall: RecallFigures
    sure_recall: float | None
    cpu_ms: float

    def reaches(self, target: float) -> bool:
        """Whether it is surely enough, or nothing could be measured."""
        return self.sure_recall is None or self.sure_recall >= target


@dataclass(frozen=True)
class TunedSearch:
    """The setting that was chosen, and every one that was tried on the way."""

    search_parameters: dict[str, int]
    recall: RecallFigures
    cpu_ms: float
    curve: tuple[CurvePoint, ...]

    def curve_rows(self) -> list[dict[str, Any]]:
        """Returns the curve as plain data."""
        return [
            {
                "parameters": point.parameters,
                **point.recall.model_dump(),
                "sure_recall": None if point.sure_recall is None else round(point.sure_recall, 4),
                "cpu_ms": round(point.cpu_ms, 4),
            }
            for point in self.curve
        ]


def tune_search(
    index: VectorIndex,
    goal: TuningGoal,
    vectors: RowVectors,
    *,
    images: HeldOutQueries,
    texts: HeldOutQueries,
    index_key: str,
) -> TunedSearch:
    """Measures recall@10 of images and texts apart; takes the cheapest setting at which the worse one is enough.

    With two parameters (`nprobe` and `k_factor`) each step of the second climbs the first until the target is
    reached, and the cheapest by measured CPU time of those that reached it is taken. Where none surely reaches it, of
    those that seem to the one of which it is surest is taken.

    Raises:
        GateError: no setting reaches the target; the message names the best that was reached.
    """
    truths = ground_truth(vectors, images), ground_truth(vectors, texts)
    curve: list[CurvePoint] = []
    reached: list[CurvePoint] = []
    for climb in climbs(index):
        for parameters in climb:
            point = measure_point(index, vectors, truths, parameters)
            curve.append(point)
            if point.reaches(goal.recall_target):
                reached.append(point)
                break
            if reached and point.cpu_ms > min(other.cpu_ms for other in reached):
                break  # dearer already than a setting that is enough
    if reached:
        best = min(reached, key=lambda point: point.cpu_ms)
        return TunedSearch(best.parameters, best.recall, best.cpu_ms, tuple(curve))
    if perhaps := [point for point in curve if (point.recall.worst or 0.0) >= goal.recall_target]:
        best = max(perhaps, key=lambda point: point.sure_recall or 0.0)
        return TunedSearch(best.parameters, best.recall, best.cpu_ms, tuple(curve))
    best = max(curve, key=lambda point: point.recall.worst or 0.0)
    setting = ", ".join(f"{name} {value}" for name, value in best.parameters.items()) or "no parameter"
    raise GateError(
        f"index {index.index_version}, {index_key}: recall@10 of {best.recall.worst:.4f} at best "
        f"({setting}; images {_shown(best.recall.image)}, texts {_shown(best.recall.text)}), "
        f"target {goal.recall_target}; choose another VITRINE_INDEX_KEY or lower VITRINE_INDEX_RECALL_TARGET"
    )


def measure_point(
    index: VectorIndex,
    vectors: RowVectors,
    truths: tuple[GroundTruth | None, GroundTruth | None],
    parameters: Mapping[str, int],
) -> CurvePoint:
    """Measures one setting; `truths` are those of images and of texts."""
    image, text = (measure_recall(index, truth, vectors, parameters=parameters) for truth in truths)
    figures = RecallFigures(
        image=None if image is None else float(image.mean()),
        text=None if text is None else float(text.mean()),
        queries_image=0 if image is None else len(image),
        queries_text=0 if text is None else len(text),
    )
    sure = [float(shares.mean()) - standard_error(shares) for shares in (image, text) if shares is not None]
    return CurvePoint(dict(parameters), figures, min(sure, default=None), _cpu_ms(index, truths, parameters))


def climbs(
    index: VectorIndex, *, ladders: Mapping[str, tuple[int, ...]] | None = None
) -> Iterator[Iterator[dict[str, int]]]:
    """Yields runs of settings of rising recall and cost: one for each step of the second parameter.

    Args:
        ladders: steps of each parameter, instead of those of a build.
    """
    ladders = ladders or _LADDERS
    if not index.parameter_names:
        yield iter([{}])
        return
    first, *others = index.parameter_names
    steps = [step for step in ladders[first] if not index.lists or step <= index.lists]
    if not others:
        yield ({first: step} for step in steps)
        return
    [second] = others
    for other in ladders[second]:
        yield ({first: step, second: other} for step in steps)


def _cpu_ms(index: VectorIndex, truths: tuple[GroundTruth | None, ...], parameters: Mapping[str, int]) -> float:
    """Returns the median CPU time of a query that comes alone, in milliseconds."""
    queries = [truth.queries.embeddings[: _TIMED_QUERIES // 2] for truth in truths if truth is not None]
    if not queries:
        return 0.0
    taken = []
    with faiss_threads(1):
        for query in np.concatenate(queries):
            began = time.process_time_ns()
            index.search(query[None, :], top_k=10, parameters=parameters)
            taken.append(time.process_time_ns() - began)
    return float(np.median(taken)) / 1e6


def _shown(recall: float | None) -> str:
    return "not measured" if recall is None else f"{recall:.4f}"
