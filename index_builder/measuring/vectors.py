"""The vectors of all rows of a version in one mapped file, as float16: what an index is built whole from, and measured.

The file grows in row order while the blocks are read, each once; memory holds a block or two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitrine.head.embedding_sets import unit_rows

BATCH_ROWS = 8_192


class RowVectors:
    """The vectors of all rows, mapped from a file.

    Attributes:
        items, dimension: the shape.
    """

    def __init__(self, halves: NDArray[np.float16]) -> None:
        self.items, self.dimension = halves.shape
        self._halves = halves

    @classmethod
    def write(cls, path: Path, vectors: Iterable[NDArray[np.float16]], *, dimension: int) -> RowVectors:
        """Writes (n, dimension) arrays one after the other to a file at `path`, and maps it."""
        rows = 0
        with path.open("wb") as stream:
            for some in vectors:
                stream.write(np.ascontiguousarray(some, dtype=np.float16).data)
                rows += len(some)
        return cls(np.memmap(path, dtype=np.float16, mode="r", shape=(rows, dimension)))

    def rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns some rows: (len(rows), dimension), float32, unit L2 norm."""
        return unit_rows(self._halves[rows])

    def batches(
        self, *, batch_rows: int = BATCH_ROWS, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yields (first row, (n, dimension) float32 of unit L2 norm) over the rows from `start` to `stop`, in order."""
        stop = self.items if stop is None else stop
        for first in range(start, stop, batch_rows):
            yield first, unit_rows(self._halves[first : min(first + batch_rows, stop)])

    def sample(self, count: int, *, seed: int) -> NDArray[np.int64]:
        """Returns up to `count` distinct rows, drawn over the whole set, in order."""
        generator = np.random.default_rng(seed)
        drawn = generator.choice(self.items, size=min(count, self.items), replace=False)
        return np.sort(drawn).astype(np.int64)
