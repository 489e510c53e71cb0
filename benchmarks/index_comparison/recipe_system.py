"""A recipe of the index builder, built and searched by the code that builds and serves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.index_comparison.phases import BATCH_ROWS, Phases, batches
from index_builder.builds.rows.sampling import stratified_rows
from index_builder.recipes import Recipe, Trained, recipe_of
from vitrine.vector_index import INDEX_FILE, REFINEMENT_FILE, Shard, VectorIndex

PART_ROWS = 65_536


class RecipeSystem:
    """One family of recipes: trained on a sample of the whole set, encoded in parts, merged to one shard."""

    def __init__(self, *, family: str, in_ram: bool = False, touch: bool = True, processes: int = 1) -> None:
        self._family = family
        self._in_ram, self._touch, self._processes = in_ram, touch, processes
        self._index: VectorIndex | None = None
        self._setting: Mapping[str, int] = {}
        self._allowed: NDArray[np.bool_] | None = None
        faiss.omp_set_num_threads(1)

    def build(self, vectors: NDArray[np.float16], folder: Path) -> dict[str, float]:
        """See `Searchable`."""
        recipe = recipe_of(self._family, items=len(vectors), dimension=vectors.shape[1])
        shard, parts, quantizer = folder / "shard-0000", folder / "parts", folder / "quantizer"
        clock = Phases()
        sample = training_sample(vectors, recipe.train_rows, seed=recipe.seed)
        trained = recipe.train(sample, threads=self._processes)
        del sample
        clock.ends("train")
        if not recipe.merges:
            trained.build(batches(vectors), into=shard)
            clock.ends("build")
            return clock.cpu_s
        trained.write(quantizer)
        starts = range(0, len(vectors), PART_ROWS)
        folders = [parts / f"{number:05}" for number in range(len(starts))]
        encode = partial(encode_part, recipe, quantizer, Path(str(vectors.filename)))  # type: ignore[attr-defined]
        if self._processes == 1:
            written = list(map(encode, starts, folders))
        else:
            with ProcessPoolExecutor(self._processes, mp_context=get_context("spawn")) as pool:
                written = list(pool.map(encode, starts, folders))
        clock.ends("encode")
        trained.merge(written, into=shard)
        clock.ends("merge")
        shutil.rmtree(parts)
        shutil.rmtree(quantizer)
        return clock.cpu_s

    def open(self, folder: Path) -> tuple[str, ...]:
        """See `Searchable`. Mapped as serving maps it, and touched as serving touches it before a swap."""
        shard = folder / "shard-0000"
        if self._in_ram:
            index, refinement = (faiss.read_index(str(shard / name)) for name in (INDEX_FILE, REFINEMENT_FILE))
            self._index = VectorIndex(
                [Shard(index, refinement, first_row=0, paths=())], index_version="in-ram", search_parameters={}
            )
        else:
            self._index = VectorIndex.open_folders([shard], index_version=self._family)
            if self._touch:
                self.touch()
        return self._index.parameter_names

    def touch(self) -> None:
        """See `Searchable`."""
        if self._index is not None:
            self._index.touch()

    def prepare(self, setting: Mapping[str, int], allowed: NDArray[np.bool_] | None) -> None:
        """See `Searchable`."""
        self._setting, self._allowed = setting, allowed

    def search(self, query: NDArray[np.float32], top_k: int) -> Any:
        """See `Searchable`."""
        if self._index is None:
            raise SystemExit("search before open")
        return self._index.search(query, top_k=top_k, allowed=self._allowed, parameters=self._setting)[1][0]


def training_sample(vectors: NDArray[np.float16], count: int, *, seed: int) -> NDArray[np.float32]:
    """Returns rows drawn over the whole set as a build draws them: (at most count, dimension), unit L2 norm."""
    chosen = stratified_rows(len(vectors), count, seed=seed)
    sample = np.empty((len(chosen), vectors.shape[1]), dtype=np.float32)
    for start in range(0, len(chosen), BATCH_ROWS):
        sample[start : start + BATCH_ROWS] = vectors[chosen[start : start + BATCH_ROWS]]
    sample /= np.linalg.norm(sample, axis=1, keepdims=True)
    return sample


def encode_part(recipe: Recipe, quantizer: Path, vectors: Path, start: int, into: Path) -> Path:
    """Encodes one part as a task of a build does: from the written quantizer, on one thread, in bounded memory."""
    mapped = np.load(vectors, mmap_mode="r")
    faiss.omp_set_num_threads(1)
    trained = _read_once(quantizer, recipe.read)
    trained.encode(batches(mapped, start=start, stop=min(start + PART_ROWS, len(mapped))), into=into)
    return into


@cache
def _read_once(quantizer: Path, read: Callable[[Path], Trained]) -> Trained:
    return read(quantizer)
