"""The shards of a plan, one run of rows each: merged from encoded parts, or built whole from vectors in row order."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from index_builder.builds.encoded_parts import fetch_encoded_part
from index_builder.builds.quantizers import fetch_quantizer
from index_builder.builds.sampling import stratified_rows
from index_builder.recipes import open_recipe
from index_builder.vectors import RowVectors
from vitrine.contracts.index_builds import IndexPlan, PlannedPart
from vitrine.progress import Advance, progress
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


def make_shards(
    settings: Settings,
    object_store: ObjectStore,
    plan: IndexPlan,
    vectors: RowVectors,
    *,
    names: Sequence[str],
    folder: Path,
) -> None:
    """Writes the files of each shard into a folder of its name under `folder`.

    Args:
        vectors: of all rows.
        names: of the shards.

    Raises:
        ObjectMissingError: a part was never encoded.
    """
    faiss.omp_set_num_threads(settings.index_threads)
    recipe = open_recipe(plan.recipe)
    trained = None
    if plan.quantizer is not None:
        trained = fetch_quantizer(
            object_store, plan.catalog_id, plan.quantizer.quantizer_id, recipe, folder / "quantizer"
        )
    first = start = 0
    for name, count in zip(names, plan.shards, strict=True):
        parts = plan.parts[first : first + count]
        rows = sum(part.rows for part in parts)
        into = folder / name
        into.mkdir()
        if trained is not None:
            trained.merge(_fetched(object_store, plan, parts, folder / "parts"), into)
        else:
            sample = vectors.rows(stratified_rows(plan.items, recipe.train_rows, seed=recipe.seed))
            with progress(f"{plan.catalog_id}: {recipe.name}", total=rows) as advance:
                batches = _advancing(vectors, start, start + rows, advance)
                recipe.build(batches, into, items=rows, dimension=plan.dimension, sample=sample)
        first, start = first + count, start + rows


def _advancing(vectors: RowVectors, start: int, stop: int, advance: Advance) -> Iterator[NDArray[np.float32]]:
    for _, batch in vectors.batches(start=start, stop=stop):
        yield batch
        advance(len(batch))


def _fetched(object_store: ObjectStore, plan: IndexPlan, parts: Sequence[PlannedPart], folder: Path) -> Iterator[Path]:
    """Yields the folders of encoded parts in order; the next is fetched meanwhile, and each goes when it was merged."""
    quantizer_id = plan.quantizer.quantizer_id if plan.quantizer else ""

    def fetch(part: PlannedPart) -> Path:
        into = folder / part.part_id
        fetch_encoded_part(object_store, plan.catalog_id, quantizer_id, part, into)
        return into

    with (
        ThreadPoolExecutor(1) as pool,
        progress(f"{plan.catalog_id}: merging", total=sum(part.rows for part in parts)) as advance,
    ):
        coming = pool.submit(fetch, parts[0])
        for position, part in enumerate(parts):
            fetched = coming.result()
            if position + 1 < len(parts):
                coming = pool.submit(fetch, parts[position + 1])
            yield fetched
            shutil.rmtree(fetched)
            advance(part.rows)
