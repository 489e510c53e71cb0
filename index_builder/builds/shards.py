"""The shards of a plan, one run of rows each: merged from encoded parts, or built whole from vectors in row order."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_builder.builds.parts.encoded_parts import fetch_encoded_part
from index_builder.builds.planned_recipe import planned_recipe
from index_builder.builds.quantizers import fetch_quantizer
from index_builder.builds.rows.sampling import stratified_rows
from index_builder.measuring.vectors import RowVectors
from vitrine.contracts.index_builds import IndexPlan, PlannedPart
from vitrine.errors import ContractError
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
        ContractError: a shard does not hold the rows of its parts.
    """
    make = _merging(object_store, plan, folder) if plan.quantizer else _building(settings, plan, vectors)
    first = start = 0
    for name, count in zip(names, plan.shards, strict=True):
        parts = plan.parts[first : first + count]
        rows = sum(part.rows for part in parts)
        made = make(parts, start, folder / name)
        if made != rows:
            raise ContractError(
                f"{plan.plan_id}, {name}: expected {rows} rows, one for each item of its {count} parts, found {made}; "
                "the build lost or doubled rows"
            )
        first, start = first + count, start + rows


_Make = Callable[[Sequence[PlannedPart], int, Path], int]  # of parts, their first row and the shard's folder: its rows


def _merging(object_store: ObjectStore, plan: IndexPlan, folder: Path) -> _Make:
    quantizer_id = plan.quantizer.quantizer_id if plan.quantizer else ""
    trained = fetch_quantizer(object_store, plan, folder / "quantizer")

    def merge(parts: Sequence[PlannedPart], _: int, into: Path) -> int:
        fetched = [folder / "parts" / part.part_id for part in parts]
        with progress(f"{plan.catalog_id}: fetching parts", total=sum(part.rows for part in parts)) as advance:
            for part, path in zip(parts, fetched, strict=True):
                fetch_encoded_part(object_store, plan.catalog_id, quantizer_id, part, path)
                advance(part.rows)
        rows = trained.merge(fetched, into=into)
        shutil.rmtree(folder / "parts")
        return rows

    return merge


def _building(settings: Settings, plan: IndexPlan, vectors: RowVectors) -> _Make:
    recipe = planned_recipe(plan)
    # A random sample over everything: the first rows are those of some packs, often one supplier's.
    sample = vectors.rows(stratified_rows(plan.items, recipe.train_rows, seed=recipe.seed))
    trained = recipe.train(sample, threads=settings.index_threads)

    def build(parts: Sequence[PlannedPart], start: int, into: Path) -> int:
        rows = sum(part.rows for part in parts)
        with progress(f"{plan.catalog_id}: {recipe.name}", total=rows) as advance:
            return trained.build(_advancing(vectors, start, start + rows, advance), into=into)

    return build


def _advancing(vectors: RowVectors, start: int, stop: int, advance: Advance) -> Iterator[NDArray[np.float32]]:
    for _, batch in vectors.batches(start=start, stop=stop):
        yield batch
        advance(len(batch))
