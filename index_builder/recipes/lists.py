"""Recipes of inverted lists (IVF): rows lie in the list of their nearest centroid, and a search visits some lists.

Encoded parts merge at a base index. Where the codes in the lists are too coarse to answer alone (RaBitQ: 1 bit a
dimension; PQ fast-scan: 4 bits for each piece of the vector), a refinement of 8 bits a dimension stands beside them,
is memory-mapped, and compares the candidates again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from index_builder.recipes.code_files import write_codes
from index_builder.recipes.list_merge import fill_lists
from index_builder.recipes.parts import CODES_FILE, LISTS_FILE, REFINED_FILE, PartWriter, file_chunks
from index_builder.recipes.protocol import build_of_one_part
from index_builder.recipes.quantizer_files import make_index, read_quantizer, write_quantizer
from vitrine.errors import ContractError, SettingsError
from vitrine.processes.state import faiss_threads
from vitrine.vector_index import INDEX_FILE, REFINEMENT_FILE

REFINED = ",Refine(SQ8)"
_OPQ_ROUNDS = 8  # of 50 by default: a round costs seconds at 512 dimensions
_OPQ_ROWS = 10_000
_SUPER_K_MEANS_FROM = 64  # dimensions: it prunes by the first of them, and refuses fewer than 32
_CENTROID_EF_SEARCH = 64  # of 16 by default: a row in another list than the nearest is found by fewer searches


@dataclass(frozen=True)
class ListRecipe:
    """Inverted lists, with or without a refinement: `index_key` ends in `,Refine(SQ8)` where there is one."""

    name: str
    index_key: str
    train_rows: int
    seed: int
    merges: bool = True

    @property
    def refines(self) -> bool:
        """See `Recipe`."""
        return self.index_key.endswith(REFINED)

    def identity(self) -> dict[str, Any]:
        """See `Recipe`."""
        return asdict(self)

    def train(self, sample: NDArray[np.float32], *, threads: int = 1) -> TrainedLists:
        """See `Recipe`."""
        with faiss_threads(threads):
            index = make_index(self.index_key.removesuffix(REFINED), sample, prepare=self._prepare)
            refinement = make_index("SQ8", sample) if self.refines else None
        return TrainedLists(index, refinement, self)

    def read(self, folder: Path) -> TrainedLists:
        """See `Recipe`."""
        index = read_quantizer(folder, self)
        refinement = read_quantizer(folder / "refinement", self) if self.refines else None
        return TrainedLists(index, refinement, self)

    def _prepare(self, index: Any) -> None:
        lists: Any = faiss.downcast_index(faiss.extract_index_ivf(index))
        if isinstance(lists, faiss.IndexIVFFastScan) and not self.refines:
            raise SettingsError(
                f"VITRINE_INDEX_KEY={self.index_key!r}: fast-scan codes give no vectors back; append {REFINED!r}"
            )
        lists.cp.seed = self.seed
        if isinstance(lists, faiss.IndexIVFPQ):
            lists.do_polysemous_training = False  # type: ignore[attr-defined]  # most of the training's time, for a search that is never made
        lists.cp.use_super_kmeans = index.d >= _SUPER_K_MEANS_FROM  # half the CPU of plain k-means
        centroids = faiss.downcast_index(lists.quantizer)
        if isinstance(centroids, faiss.IndexHNSW):
            centroids.hnsw.efSearch = _CENTROID_EF_SEARCH
        if isinstance(index, faiss.IndexPreTransform):
            rotation = _rotation(index)
            if isinstance(rotation, faiss.OPQMatrix):
                rotation.niter, rotation.max_train_points = _OPQ_ROUNDS, _OPQ_ROWS


class TrainedLists:
    """Lists without rows."""

    def __init__(self, index: Any, refinement: Any, recipe: ListRecipe) -> None:
        self.dimension = int(index.d)
        self._index = index
        self._refinement = refinement
        self._recipe = recipe

    def write(self, folder: Path) -> None:
        """See `Trained`."""
        write_quantizer(folder, self._recipe, self._index)
        if self._refinement is not None:
            write_quantizer(folder / "refinement", self._recipe, self._refinement)

    def encode(self, batches: Iterable[NDArray[np.float32]], *, into: Path) -> int:
        """See `Trained`."""
        code_size = int(faiss.extract_index_ivf(self._index).code_size)
        with PartWriter(into) as part:
            for batch in batches:
                encoded = self._index.sa_encode(batch)  # (n, bytes of the list's number + code_size)
                arrays = {CODES_FILE: encoded[:, -code_size:], LISTS_FILE: _numbers(encoded[:, :-code_size])}
                if self._refinement is not None:
                    arrays[REFINED_FILE] = self._refinement.sa_encode(batch)
                part.append(arrays)
            return part.rows

    def merge(self, parts: Sequence[Path], *, into: Path) -> int:
        """See `Trained`."""
        into.mkdir(parents=True, exist_ok=True)
        index = faiss.clone_index(self._index)
        rows = index.ntotal = fill_lists(faiss.extract_index_ivf(index), parts)
        faiss.write_index(index, str(into / INDEX_FILE))
        del index
        if self._refinement is not None:
            chunks = (chunk for part in parts for chunk in file_chunks(part / REFINED_FILE))
            refined = write_codes(self._refinement, chunks, into / REFINEMENT_FILE)
            if refined != rows:
                raise ContractError(f"{into}: expected a refinement of {rows} rows, found {refined}; encode again")
        return rows

    def build(self, batches: Iterable[NDArray[np.float32]], *, into: Path) -> int:
        """See `Trained`."""
        return build_of_one_part(self, batches, into=into)

    def sampled_error(self, sample: NDArray[np.float32]) -> float:
        """See `Trained`: the mean squared distance of vectors to the centroid of their list."""
        rotated, numbers = self._nearest_lists(sample)
        centroids = faiss.extract_index_ivf(self._index).quantizer.reconstruct_batch(numbers)
        return float(np.mean(np.sum((rotated - centroids) ** 2, axis=1)))

    def sampled_imbalance(self, sample: NDArray[np.float32]) -> float:
        """See `Trained`."""
        lists = int(faiss.extract_index_ivf(self._index).nlist)
        _, numbers = self._nearest_lists(sample)
        shares = np.bincount(numbers, minlength=lists) / len(sample)
        return float(lists * np.sum(shares**2))

    def _nearest_lists(self, sample: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Returns the vectors as the lists see them, and each one's list."""
        rotated = _rotation(self._index).apply(sample) if isinstance(self._index, faiss.IndexPreTransform) else sample
        rotated = np.ascontiguousarray(rotated)
        _, numbers = faiss.extract_index_ivf(self._index).quantizer.search(rotated, 1)
        return rotated, numbers[:, 0]


def _rotation(index: Any) -> Any:
    return faiss.downcast_VectorTransform(index.chain.at(0))


def _numbers(encoded: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Returns list numbers, which faiss writes in as few bytes as the number of lists needs, little-endian."""
    widened = np.zeros((len(encoded), 4), dtype=np.uint8)
    widened[:, : encoded.shape[1]] = encoded
    return widened.view("<i4")[:, 0].astype(np.int32)
