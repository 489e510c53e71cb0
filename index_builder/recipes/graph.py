"""Recipes of one graph over codes: `HNSW32,SQ8`.

Graphs do not merge: a part holds codes only, and the graph of a shard is built whole over them, row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from index_builder.recipes.parts import CODES_FILE, map_codes, write_code_part
from index_builder.recipes.protocol import build_of_one_part
from index_builder.recipes.quantizer_files import make_index, read_quantizer, squared_error, write_quantizer
from vitrine.processes.state import faiss_threads
from vitrine.vector_index import INDEX_FILE

_BATCH_ROWS = 8_192


@dataclass(frozen=True)
class GraphRecipe:
    """A graph that a search walks.

    Attributes:
        ef_construction: width of the walk that places a row.
    """

    name: str
    index_key: str
    train_rows: int
    seed: int
    ef_construction: int
    merges: bool = False
    refines: bool = False

    def identity(self) -> dict[str, Any]:
        """See `Recipe`."""
        return asdict(self)

    def train(self, sample: NDArray[np.float32], *, threads: int = 1) -> TrainedGraph:
        """See `Recipe`."""

        def prepare(index: Any) -> None:
            index.hnsw.efConstruction = self.ef_construction

        with faiss_threads(threads):
            return TrainedGraph(make_index(self.index_key, sample, prepare=prepare), self, threads=threads)

    def read(self, folder: Path) -> TrainedGraph:
        """See `Recipe`."""
        return TrainedGraph(read_quantizer(folder, self), self, threads=1)


class TrainedGraph:
    """A graph without rows.

    Attributes:
        threads: that `merge` uses; more than one place rows in another order each time.
    """

    def __init__(self, index: Any, recipe: GraphRecipe, *, threads: int) -> None:
        self.dimension = int(index.d)
        self.threads = threads
        self._index = index
        self._recipe = recipe

    def write(self, folder: Path) -> None:
        """See `Trained`."""
        write_quantizer(folder, self._recipe, self._index)

    def encode(self, batches: Iterable[NDArray[np.float32]], *, into: Path) -> int:
        """See `Trained`."""
        return write_code_part(self._storage, batches, into=into)

    def merge(self, parts: Sequence[Path], *, into: Path) -> int:
        """See `Trained`. The graph is made over what the codes decode to, which encodes to the same codes again."""
        into.mkdir(parents=True, exist_ok=True)
        index = faiss.clone_index(self._index)
        with faiss_threads(self.threads):
            for batch in _of_equal_size(self._decoded(parts)):
                index.add(batch)
        faiss.write_index(index, str(into / INDEX_FILE))
        return int(index.ntotal)

    def build(self, batches: Iterable[NDArray[np.float32]], *, into: Path) -> int:
        """See `Trained`."""
        return build_of_one_part(self, batches, into=into)

    def sampled_error(self, sample: NDArray[np.float32]) -> float:
        """See `Trained`."""
        return squared_error(self._storage, sample)

    def sampled_imbalance(self, sample: NDArray[np.float32]) -> float:  # noqa: ARG002 - one protocol for all
        """See `Trained`; there are no lists."""
        return 1.0

    @property
    def _storage(self) -> Any:
        return faiss.downcast_index(self._index.storage)

    def _decoded(self, parts: Sequence[Path]) -> Iterator[NDArray[np.float32]]:
        for part in parts:
            codes = map_codes(part, CODES_FILE, width=int(self._storage.code_size))
            for start in range(0, len(codes), _BATCH_ROWS):
                yield self._storage.sa_decode(np.ascontiguousarray(codes[start : start + _BATCH_ROWS]))


def _of_equal_size(batches: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Cuts batches anew: faiss shuffles the rows of one `add`, so their number decides the graph."""
    held: list[NDArray[np.float32]] = []
    rows = 0
    for batch in batches:
        start = 0
        while start < len(batch):
            taken = batch[start : start + _BATCH_ROWS - rows]
            held.append(taken)
            rows += len(taken)
            start += len(taken)
            if rows == _BATCH_ROWS:
                yield np.concatenate(held)
                held, rows = [], 0
    if held:
        yield np.concatenate(held)
