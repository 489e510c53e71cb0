"""A recipe of the index builder, built and searched by the code that builds and serves."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.index_comparison.worker import batches, phase_clock
from index_builder.recipes import recipe_of
from vitrine.vector_index import INDEX_FILE, REFINEMENT_FILE, Shard, VectorIndex

PART_ROWS = 65_536


class RecipeSystem:
    """One family of recipes: trained on a sample of the whole set, encoded in parts, merged to one shard."""

    def __init__(self, *, family: str, in_ram: bool = False, touch: bool = True) -> None:
        self._family = family
        self._in_ram, self._touch = in_ram, touch
        self._index: VectorIndex | None = None
        self._setting: Mapping[str, int] = {}
        self._allowed: NDArray[np.bool_] | None = None
        faiss.omp_set_num_threads(1)

    def build(self, vectors: NDArray[np.float16], folder: Path) -> dict[str, float]:
        """See `Searchable`."""
        recipe = recipe_of(self._family, items=len(vectors), dimension=vectors.shape[1])
        began = phase_clock()
        trained = recipe.train(stratified_sample(vectors, recipe.train_rows, seed=recipe.seed))
        after_training = phase_clock()
        shard = folder / "shard-0000"
        if not recipe.merges:
            trained.build(batches(vectors), into=shard)
            return {"train": after_training - began, "build": phase_clock() - after_training}
        parts = []
        for start in range(0, len(vectors), PART_ROWS):
            part = folder / f"part-{start // PART_ROWS:05}"
            trained.encode(batches(vectors, start=start, stop=min(start + PART_ROWS, len(vectors))), into=part)
            parts.append(part)
        after_encoding = phase_clock()
        trained.merge(parts, into=shard)
        for part in parts:
            shutil.rmtree(part)
        return {
            "train": after_training - began,
            "encode": after_encoding - after_training,
            "merge": phase_clock() - after_encoding,
        }

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
                self._index.touch()
        return self._index.parameter_names

    def prepare(self, setting: Mapping[str, int], allowed: NDArray[np.bool_] | None) -> None:
        """See `Searchable`."""
        self._setting, self._allowed = setting, allowed

    def search(self, query: NDArray[np.float32], top_k: int) -> Any:
        """See `Searchable`."""
        if self._index is None:
            raise SystemExit("search before open")
        return self._index.search(query, top_k=top_k, allowed=self._allowed, parameters=self._setting)[1][0]


def stratified_sample(
    vectors: NDArray[np.float16], count: int, *, seed: int, stratum_rows: int = PART_ROWS
) -> NDArray[np.float32]:
    """Returns rows of every stratum in proportion, drawn at random: (at most count, dimension), unit L2 norm."""
    generator = np.random.default_rng(seed)
    drawn = []
    for start in range(0, len(vectors), stratum_rows):
        rows = min(stratum_rows, len(vectors) - start)
        wanted = min(rows, round(count * (start + rows) / len(vectors)) - round(count * start / len(vectors)))
        drawn.append(start + np.sort(generator.permutation(rows)[:wanted]))
    chosen = np.concatenate(drawn)
    sample = np.empty((len(chosen), vectors.shape[1]), dtype=np.float32)
    for first in range(0, len(chosen), PART_ROWS):  # float16 rows of one stratum at a time beside the sample
        sample[first : first + PART_ROWS] = vectors[chosen[first : first + PART_ROWS]]
    sample /= np.linalg.norm(sample, axis=1, keepdims=True)
    return sample
