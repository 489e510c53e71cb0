"""Answers of several searches merged into one: scores and rows of each query, best first."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Answers: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int64]]  # scores and rows, both (n, top_k)


def nothing(queries: int, top_k: int) -> Answers:
    """Returns the answers of a search that found nothing: scores of -inf, rows of -1."""
    return np.full((queries, top_k), -np.inf, dtype=np.float32), np.full((queries, top_k), -1, dtype=np.int64)


def best_of(first: Answers, second: Answers, *, top_k: int) -> Answers:
    """Returns the best `top_k` of both; of equal scores those of `first` come first: the same answer each time."""
    scores = np.concatenate([first[0], second[0]], axis=1)
    rows = np.concatenate([first[1], second[1]], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    return np.take_along_axis(scores, order, axis=1).astype(np.float32), np.take_along_axis(rows, order, axis=1)


def bounded(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Quantized vectors are a little longer or shorter than 1: a cosine never is."""
    return np.where(np.isfinite(scores), np.clip(scores, -1.0, 1.0), scores).astype(np.float32)
