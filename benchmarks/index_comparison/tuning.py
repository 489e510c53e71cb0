"""The cheapest setting of a system that reaches a recall, found on queries of its own, by measured CPU time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.index_comparison.ground_truth import recall_at_10
from benchmarks.index_comparison.processes import SystemProcess

# Fine enough that no system gains or loses more than an eighth by the step that it happens to need.
_FINE = (
    *(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 22, 25, 28, 32, 36, 40, 45, 51, 57, 64, 72, 81, 91, 102),
    *(115, 128, 144, 162, 181, 203, 228, 256, 287, 322, 362, 406, 456, 512, 575, 645, 724, 812, 912, 1_024),
)
_LADDERS = {"ef_search": tuple(step for step in _FINE if step >= 10), "nprobe": _FINE}
_K_FACTORS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_UNTUNED_QUERIES = 50  # are enough where there is nothing to tune
_PATIENCE = 2  # steps of the second parameter that may fail to be cheaper before no higher one is tried
_STRIDE = 4  # steps of a ladder taken at once on the way up; then back one by one
_FLAT = 0.0005  # a step that gains less than this has reached what the codes can tell apart


@dataclass(frozen=True)
class Point:
    """One setting as measured: recall@10 and the median CPU milliseconds of a query."""

    setting: dict[str, int]
    recall: float
    cpu_ms: float


@dataclass(frozen=True)
class Tuned:
    """What tuning found; `reached` is false where no setting does, and `best` has the highest recall then."""

    best: Point
    reached: bool
    curve: tuple[Point, ...]


def tune(
    process: SystemProcess,
    parameters: tuple[str, ...],
    queries: Path,
    truth: NDArray[np.int64],
    *,
    target: float,
    most: int,
) -> Tuned:
    """Climbs each ladder until the target is reached, steps back to the cheapest step that still does.

    Args:
        parameters: as the system named them; with two, each step of the second climbs the first.
        most: the highest value of the first parameter that means anything, e.g. the number of rows.
    """
    curve: list[Point] = []
    enough: list[Point] = []
    in_vain = 0

    def measure(setting: dict[str, int]) -> Point:
        answered = process.search(queries, setting, stop=None if setting else _UNTUNED_QUERIES)
        recall = recall_at_10(answered.rows, truth[: len(answered.rows)])
        point = Point(setting, recall, float(np.median(answered.cpu_ms)))
        curve.append(point)
        return point

    for fixed in _fixed(parameters):

        def at(step: int, fixed: dict[str, int] = fixed) -> Point:
            return measure({**dict.fromkeys(parameters[:1], step), **fixed})

        point = _climb(_steps(parameters, most), at, target, enough)
        if point is not None and all(point.cpu_ms < other.cpu_ms for other in enough):
            enough.append(point)
            in_vain = 0
        elif enough and (in_vain := in_vain + 1) == _PATIENCE:
            break
    reached = bool(enough)
    best = min(enough, key=lambda p: p.cpu_ms) if reached else max(curve, key=lambda p: p.recall)
    return Tuned(best, reached, tuple(curve))


def _fixed(parameters: tuple[str, ...]) -> Iterator[dict[str, int]]:
    if len(parameters) < 2:
        yield {}
        return
    for step in _K_FACTORS:
        yield {parameters[1]: step}


def _steps(parameters: tuple[str, ...], most: int) -> list[int]:
    """Returns the steps of the first parameter; one where there is none, as each would be the same."""
    if not parameters:
        return [0]
    return [step for step in _LADDERS[parameters[0]] if step <= most] or [most]


def _climb(
    ladder: Sequence[int], measure: Callable[[int], Point], target: float, enough: Sequence[Point]
) -> Point | None:
    """Returns the cheapest step that reaches the target, or None when none does or it costs more than one known."""
    cheapest = min((point.cpu_ms for point in enough), default=float("inf"))
    before: Point | None = None
    lowest = 0  # no lower place can be enough
    for place in [*range(_STRIDE - 1, len(ladder) - 1, _STRIDE), len(ladder) - 1]:
        point = measure(ladder[place])
        if point.recall >= target:
            return _stepped_back(ladder[lowest:place], measure, target, point)
        if point.cpu_ms > cheapest or (before is not None and point.recall - before.recall < _FLAT):
            return None
        before, lowest = point, place + 1
    return None


def _stepped_back(ladder: Sequence[int], measure: Callable[[int], Point], target: float, enough: Point) -> Point:
    """Returns the lowest step that is still enough, going down from `enough`."""
    for step in reversed(ladder):
        lower = measure(step)
        if lower.recall < target:
            break
        enough = lower
    return enough
