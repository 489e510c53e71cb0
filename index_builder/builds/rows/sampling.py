"""A stratified random sample over all rows of a version: every unit in proportion to its rows, none in order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stratified_rows(items: int, count: int, *, seed: int) -> NDArray[np.int64]:
    """Draws up to `count` distinct rows, ascending: one at random from each of `count` equal runs of rows.

    Rows follow the blocks, so a unit of n rows has n * count / items of the sample, give or take one.
    """
    if count >= items:
        return np.arange(items, dtype=np.int64)
    edges = np.arange(count + 1, dtype=np.int64) * items // count
    drawn = np.random.default_rng(seed).random(count)
    return edges[:-1] + (drawn * np.diff(edges)).astype(np.int64)
