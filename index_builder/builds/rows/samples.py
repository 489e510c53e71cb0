"""Samples of the rows that are to be encoded: one to train a quantizer on, another to measure it with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from index_builder.builds.parts.cutting import PartRows
from index_builder.builds.parts.part_vectors import sampled_vectors
from index_builder.builds.rows.sampling import stratified_rows
from vitrine.contracts.index_builds import PlannedPart
from vitrine.progress import progress
from vitrine.storage import ObjectStore

_MEASURED_ROWS = 16_384  # the mean error of so many varies by less than 1% from draw to draw


class RowSamples:
    """Stratified random samples over all rows of a version.

    Args:
        parts: of the version, in order.
        read: returns the rows of one of them.
        train_rows: of the sample that is trained on; bounded, with `max_bytes`, by what fits in memory.
    """

    def __init__(
        self,
        object_store: ObjectStore,
        parts: Sequence[PlannedPart],
        read: Callable[[PlannedPart], PartRows],
        *,
        dimension: int,
        train_rows: int,
        max_bytes: int,
        seed: int,
    ) -> None:
        self._object_store = object_store
        self._parts = parts
        self._read = read
        self._dimension = dimension
        self._train_rows = max(1, min(train_rows, max_bytes // (4 * dimension)))
        self._seed = seed
        self._measured: NDArray[np.float32] | None = None

    def training(self) -> tuple[NDArray[np.float32], str]:
        """Returns the vectors to train on, (n, dimension), and a hash of their embedding keys."""
        return self._drawn(self._train_rows, seed=self._seed, label="reading the training sample")

    def measuring(self) -> NDArray[np.float32]:
        """Returns the vectors to measure with, (n, dimension); read once."""
        if self._measured is None:
            self._measured, _ = self._drawn(_MEASURED_ROWS, seed=self._seed + 1, label="reading a sample to measure")
        return self._measured

    def _drawn(self, count: int, *, seed: int, label: str) -> tuple[NDArray[np.float32], str]:
        items = sum(part.rows for part in self._parts)
        rows = stratified_rows(items, count, seed=seed)
        vectors = np.empty((len(rows), self._dimension), dtype=np.float32)
        digest = hashlib.sha256()
        start = filled = 0
        with progress(label, total=len(rows)) as advance:
            for planned in self._parts:
                inside = rows[filled : np.searchsorted(rows, start + planned.rows)] - start
                start += planned.rows
                if not len(inside):
                    continue
                part = self._read(planned)
                found = sampled_vectors(self._object_store, part, inside, dimension=self._dimension)
                vectors[filled : filled + len(inside)] = found
                digest.update("\n".join(part.table["embedding_key"].take(inside).to_pylist()).encode() + b"\n")
                filled += len(inside)
                advance(len(inside))
        return vectors, digest.hexdigest()
