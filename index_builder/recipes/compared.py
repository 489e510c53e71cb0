"""Recipes that compare every row: `Flat`, and the same over smaller codes (`SQ8`, `SQfp16`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_builder.recipes.code_files import write_codes
from index_builder.recipes.parts import CODES_FILE, file_chunks, write_code_part
from index_builder.recipes.quantizer_files import make_index, read_quantizer, squared_error, write_quantizer
from vitrine.processes.state import faiss_threads
from vitrine.vector_index import INDEX_FILE


@dataclass(frozen=True)
class ComparedRecipe:
    """An index without structure: exact but for its codes."""

    name: str
    index_key: str
    train_rows: int
    seed: int
    merges: bool = True
    refines: bool = False

    def identity(self) -> dict[str, Any]:
        """See `Recipe`."""
        return asdict(self)

    def train(self, sample: NDArray[np.float32], *, threads: int = 1) -> TrainedCodes:
        """See `Recipe`."""
        with faiss_threads(threads):
            return TrainedCodes(make_index(self.index_key, sample), self)

    def read(self, folder: Path) -> TrainedCodes:
        """See `Recipe`."""
        return TrainedCodes(read_quantizer(folder, self), self)


class TrainedCodes:
    """A trained index whose rows are codes one behind another."""

    def __init__(self, index: Any, recipe: ComparedRecipe) -> None:
        self.dimension = int(index.d)
        self._index = index
        self._recipe = recipe

    def write(self, folder: Path) -> None:
        """See `Trained`."""
        write_quantizer(folder, self._recipe, self._index)

    def encode(self, batches: Iterable[NDArray[np.float32]], *, into: Path) -> int:
        """See `Trained`."""
        return write_code_part(self._index, batches, into=into)

    def merge(self, parts: Sequence[Path], *, into: Path) -> int:
        """See `Trained`."""
        into.mkdir(parents=True, exist_ok=True)
        return write_codes(
            self._index, (chunk for part in parts for chunk in file_chunks(part / CODES_FILE)), into / INDEX_FILE
        )

    def build(self, batches: Iterable[NDArray[np.float32]], *, into: Path) -> int:
        """See `Trained`."""
        into.mkdir(parents=True, exist_ok=True)
        return write_codes(self._index, self._encoded(batches), into / INDEX_FILE)

    def sampled_error(self, sample: NDArray[np.float32]) -> float:
        """See `Trained`."""
        return squared_error(self._index, sample)

    def sampled_imbalance(self, sample: NDArray[np.float32]) -> float:  # noqa: ARG002 - one protocol for all
        """See `Trained`; there are no lists."""
        return 1.0

    def _encoded(self, batches: Iterable[NDArray[np.float32]]) -> Iterator[bytes]:
        for batch in batches:
            yield self._index.sa_encode(batch).tobytes()
