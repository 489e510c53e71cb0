"""The plan of a build: its rows in parts, its recipe, and the quantizer that encodes them. All others need its id."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from index_builder.builds.memory import record_peak, watched_memory
from index_builder.builds.parts.cutting import cut_parts, read_rows, write_rows
from index_builder.builds.parts.encoded_parts import encoded_part_ids
from index_builder.builds.quantizers import Quantizers
from index_builder.builds.rows.ordering import SORTED_ROW_BYTES, ordered_rows
from index_builder.builds.rows.samples import RowSamples
from index_builder.builds.versions import find_index_version, index_version_id
from index_builder.measuring.tuning import TuningGoal, tuning_goal
from index_builder.planning.choosing import choose_for
from index_builder.recipes import Recipe
from vitrine.connections import open_connections
from vitrine.contracts.datasets import EmbeddingSet
from vitrine.contracts.index_builds import IndexFigures, IndexPlan, PlannedPart, QuantizerChoice
from vitrine.errors import ContractError, ObjectMissingError
from vitrine.files.scratch import scratch_folder
from vitrine.head.embedding_sets import read_embedding_set
from vitrine.identity import content_id
from vitrine.ledger import Ledger
from vitrine.progress import progress
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.write_once import put_once

# Shares of the memory of a build: what is held at one time is the rows that are sorted, or the sample and what
# training makes of it, or a shard (the planner says how many there are).
_SORTED_SHARE = 4
_SAMPLE_SHARE = 4


def plan_build(settings: Settings, *, catalog_id: str, embedding_set_id: str, retrain: bool = False) -> str:
    """Settles rows, recipe and quantizer of an embedding set's index; returns the id of the plan.

    Where the index exists already, that is the plan by which it was built, found at once. A quantizer is trained where
    there is none, where the newest does not fit the rows any more, or when `retrain` asks for it. Which recipe a head
    gets, and in how many parts, changes as it grows, so `retrain` may be asked for always: where the index is built
    whole there is no quantizer to train, and the build says so.

    Raises:
        ContractError: the head's rows or their vectors are not what the embedding set says.
        SettingsError: no recipe keeps to the settings.
    """
    with open_connections(settings) as (object_store, ledger):
        return settle_plan(
            settings, object_store, ledger, catalog_id=catalog_id, embedding_set_id=embedding_set_id, retrain=retrain
        )


def settle_plan(
    settings: Settings,
    object_store: ObjectStore,
    ledger: Ledger,
    *,
    catalog_id: str,
    embedding_set_id: str,
    retrain: bool = False,
) -> str:
    """Takes the step of `plan_build` over connections that are open already."""
    embedding_set = read_embedding_set(object_store, catalog_id, embedding_set_id)
    choice = choose_for(settings, items=embedding_set.items, dimension=embedding_set.dimension)
    draft = _Draft(
        embedding_set,
        choice.recipe,
        tuning_goal(settings),
        choice.predicted,
        shards=choice.shards,
    )
    quantizers = Quantizers(settings, object_store, ledger.attempts, embedding_set, draft.recipe)
    if not retrain:
        known = [None, *(quantizer.quantizer_id for quantizer in quantizers.known())]
        standing = _first_complete(object_store, catalog_id, [draft.version(under) for under in known])
        if standing is not None:
            return standing
    with scratch_folder(settings, "plan") as folder, watched_memory() as peak:
        parts = _write_parts(settings, object_store, embedding_set, folder)
        chosen: QuantizerChoice | None = None
        # What makes one part would be encoded whole with every change: there is nothing to take over.
        if draft.recipe.merges and len(parts) > 1:
            samples = _samples(settings, object_store, draft, parts, folder)
            chosen = quantizers.choose(samples, folder=folder, retrain=retrain)
        standing_parts = encoded_part_ids(object_store, catalog_id, chosen.quantizer_id) if chosen else set()
        plan = draft.plan(parts, chosen, standing=sum(part.part_id in standing_parts for part in parts))
        _put(object_store, ledger, plan, folder)
    record_peak(ledger.checks, plan, step="plan", peak=peak)
    quantizer = f", {chosen.quantizer_id} ({'reused' if chosen.reused else 'trained'})" if chosen else ""
    if retrain and chosen is None:
        quantizer = ", built whole: no quantizer to retrain"
    print(
        f"{catalog_id}: {plan.plan_id}, {plan.items:,} items in {len(parts)} parts, {draft.recipe.name}{quantizer}",
        file=sys.stderr,
    )
    return plan.plan_id


def read_plan(object_store: ObjectStore, catalog_id: str, plan_id: str) -> IndexPlan:
    """Reads a plan.

    Raises:
        ContractError: it was never completed.
    """
    try:
        return IndexPlan.from_bytes(object_store.get_bytes(keys.index_plan(catalog_id, plan_id)))
    except ObjectMissingError as error:
        raise ContractError(f"catalog {catalog_id}: {plan_id} does not exist; plan the build again") from error


@dataclass(frozen=True)
class _Draft:
    """What a plan says before its rows and its quantizer are known."""

    embedding_set: EmbeddingSet
    recipe: Recipe
    goal: TuningGoal
    predicted: IndexFigures
    shards: int

    def version(self, quantizer_id: str | None) -> str:
        """Returns the index version under a quantizer."""
        return index_version_id(
            self.embedding_set,
            self.recipe.identity(),
            self.goal.identity(),
            quantizer_id=quantizer_id,
            shards=self.shards,
        )

    def plan(self, parts: tuple[PlannedPart, ...], chosen: QuantizerChoice | None, *, standing: int) -> IndexPlan:
        """Returns the plan."""
        index_version = self.version(chosen.quantizer_id if chosen else None)
        shards = _runs(parts, self.shards)
        rows = [part.rows_file.sha256 for part in parts]
        return IndexPlan(
            plan_id=content_id("plan", [index_version, rows, shards]),
            catalog_id=self.embedding_set.catalog_id,
            fingerprint=self.embedding_set.fingerprint,
            embedding_set_id=self.embedding_set.embedding_set_id,
            dimension=self.embedding_set.dimension,
            items=self.embedding_set.items,
            index_version=index_version,
            recipe=self.recipe.identity(),
            recall_target=self.goal.recall_target,
            quantizer=chosen,
            parts=parts,
            parts_standing=standing,
            shards=shards,
            predicted=self.predicted,
        )


def _samples(
    settings: Settings, object_store: ObjectStore, draft: _Draft, parts: tuple[PlannedPart, ...], folder: Path
) -> RowSamples:
    return RowSamples(
        object_store,
        parts,
        lambda planned: read_rows(folder / planned.rows_file.name),
        dimension=draft.embedding_set.dimension,
        train_rows=draft.recipe.train_rows,
        max_bytes=settings.index_build_max_bytes // _SAMPLE_SHARE,
        seed=draft.recipe.seed,
    )


def _first_complete(object_store: ObjectStore, catalog_id: str, versions: Sequence[str]) -> str | None:
    """Returns the plan of the first version that is complete."""
    found = (find_index_version(object_store, catalog_id, version) for version in versions)
    return next((version.plan_id for version in found if version is not None), None)


def _write_parts(
    settings: Settings, object_store: ObjectStore, embedding_set: EmbeddingSet, folder: Path
) -> tuple[PlannedPart, ...]:
    range_rows = settings.index_build_max_bytes // _SORTED_SHARE // SORTED_ROW_BYTES
    tables = ordered_rows(object_store, embedding_set, folder=folder, range_rows=range_rows)
    parts: list[PlannedPart] = []
    with progress(f"{embedding_set.catalog_id}: ordering rows", total=embedding_set.items) as advance:
        for part in cut_parts(tables, embedding_set.blocks, part_rows=settings.index_part_rows):
            parts.append(write_rows(part, folder, position=len(parts)))
            advance(parts[-1].rows)
    return tuple(parts)


def _runs(parts: Sequence[PlannedPart], count: int) -> tuple[int, ...]:
    """Cuts parts into up to `count` runs of about as many rows each; returns the number of parts in each."""
    total, filled = sum(part.rows for part in parts), 0
    runs = [0] * count
    for part in parts:
        runs[min(count - 1, filled * count // total)] += 1
        filled += part.rows
    return tuple(run for run in runs if run)


def _put(object_store: ObjectStore, ledger: Ledger, plan: IndexPlan, folder: Path) -> None:
    key = keys.index_plan(plan.catalog_id, plan.plan_id)
    if object_store.exists(key):
        return
    prefix = keys.index_prefix(plan.catalog_id, plan.index_version)
    for part in plan.parts:
        rows_key = f"{prefix}/{part.rows_file.name}"
        if not object_store.exists(rows_key):
            object_store.put_file(rows_key, folder / part.rows_file.name)
    put_once(object_store, ledger, key, plan.to_bytes())  # how many parts stood before is in it and in no id
