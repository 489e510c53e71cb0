"""Confidence intervals of means over queries, by the bootstrap.

Percentile intervals: B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. Queries that
share a product are not independent (three photographs of one mug fail together), so whole groups are drawn: the
cluster bootstrap, A. C. Davison, D. V. Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8. Two
systems that answered the same queries are compared by their differences query by query (M. D. Smucker, J. Allan,
B. Carterette, "A comparison of statistical significance tests for information retrieval evaluation", CIKM 2007).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrine.errors import ContractError

RESAMPLES = 2_000
CONFIDENCE = 0.95
_CHUNK_CELLS = 4_000_000  # of the matrix of draws: 32 MB


@dataclass(frozen=True)
class Interval:
    """A mean over queries and how sure it is.

    Attributes:
        mean: over the queries.
        low, high: the percentile bootstrap interval; for one group alone both are the mean, and say nothing.
        queries: how many values.
        groups: how many independent groups they fall into.
    """

    mean: float
    low: float
    high: float
    queries: int
    groups: int


def mean_interval(
    values: Sequence[float] | NDArray[np.float64],
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Returns the mean of a metric over queries with its bootstrap interval; a seed gives the same one twice.

    Args:
        values: (n_queries,), one value a query.
        groups: (n_queries,), what a query depends on, such as its product; None: each query stands alone.
        resamples: how often the groups are drawn again.
        confidence: share of intervals that hold the true mean, in (0, 1).
        seed: of the draws.

    Raises:
        ContractError: there are no values, one is not finite, or the groups are not as many.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not len(sample):
        raise ContractError(f"expected a row of values to take a mean over, found shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise ContractError(f"expected finite values, found {sample[~np.isfinite(sample)][0]}")
    if not 0 < confidence < 1 or resamples < 1:
        raise ContractError(f"expected confidence in (0, 1) and resamples, found {confidence} and {resamples}")
    codes = _codes(groups, len(sample))
    size = int(codes.max()) + 1
    counts, sums = np.zeros(size), np.zeros(size)  # (n_groups,)
    np.add.at(counts, codes, 1)
    np.add.at(sums, codes, sample)
    means = _resampled_means(sums, counts, resamples=resamples, seed=seed)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(
        mean=float(sample.mean()), low=float(low), high=float(high), queries=len(sample), groups=len(counts)
    )


def difference_interval(
    challenger: Sequence[float] | NDArray[np.float64],
    champion: Sequence[float] | NDArray[np.float64],
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Returns the mean of challenger - champion over the same queries with its paired bootstrap interval.

    Args:
        challenger, champion: (n_queries,), in the same order of queries; for the rest see `mean_interval`.

    Raises:
        ContractError: the two did not answer as many queries, or `mean_interval` refuses the differences.
    """
    left, right = np.asarray(challenger, dtype=np.float64), np.asarray(champion, dtype=np.float64)
    if left.shape != right.shape:
        raise ContractError(f"a paired comparison needs the same queries, found {left.shape} and {right.shape} values")
    return mean_interval(left - right, groups=groups, resamples=resamples, confidence=confidence, seed=seed)


def _codes(groups: Sequence[Hashable] | None, size: int) -> NDArray[np.int64]:
    if groups is None:
        return np.arange(size)
    if len(groups) != size:
        raise ContractError(f"expected one group for each of {size} values, found {len(groups)}")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)


def _resampled_means(
    sums: NDArray[np.float64], counts: NDArray[np.float64], *, resamples: int, seed: int
) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_CELLS // len(sums))
    means = []
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = rng.integers(len(sums), size=(rows, len(sums)))  # (rows, n_groups)
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(means)
