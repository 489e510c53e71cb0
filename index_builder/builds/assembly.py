"""The last step of a build: shards from parts, tuned, checked against the embedding set, and committed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from index_builder.builds.memory import record_peak, recorded_peaks, watched_memory
from index_builder.builds.planned_recipe import planned_recipe
from index_builder.builds.plans import read_plan
from index_builder.builds.round_trip import check_round_trip
from index_builder.builds.rows.planned_rows import PlannedRows
from index_builder.builds.shards import make_shards
from index_builder.builds.versions import CURVE_FILE, commit_index_version, find_index_version
from index_builder.measuring.curve_plot import PLOT_FILE, draw_curve
from index_builder.measuring.held_out import held_out_queries
from index_builder.measuring.tuning import TunedSearch, TuningGoal, tune_search
from index_builder.measuring.vectors import RowVectors
from index_builder.planning.opened_memory import measure_opened_memory
from vitrine.connections import open_connections
from vitrine.contracts.document import StoredFile
from vitrine.contracts.index_builds import IndexFigures, IndexPlan
from vitrine.contracts.releases import IndexVersion, RecallFigures
from vitrine.errors import ContractError
from vitrine.files.scratch import scratch_folder
from vitrine.head.embedding_sets import read_embedding_set
from vitrine.identity import attempt_id
from vitrine.ledger import Ledger
from vitrine.provenance import describe_run
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_store import file_sha256
from vitrine.vector_index import VectorIndex

_LEAST_MEASURED_BYTES = 64 << 20  # the memory of less is lost in that of the process, and costs a second to ask
_NOT_MEASURED = RecallFigures(image=None, text=None, queries_image=0, queries_text=0)


def assemble_index(
    settings: Settings, *, catalog_id: str, plan_id: str, provenance: Mapping[str, str] | None = None
) -> str:
    """Makes the index version of a plan whose parts are encoded; returns the index version.

    Killed at any point, it starts over when run again and ends with the same version, rows and recall.

    Args:
        provenance: `dag_id` and `dag_run_id` of the run that asked.

    Raises:
        GateError: the index does not reach the recall target; the message names the best.
        ContractError: the rows of the index are not those of the embedding set.
        ObjectMissingError: a part was not encoded.
    """
    with open_connections(settings) as (object_store, ledger):
        return assemble(settings, object_store, ledger, catalog_id=catalog_id, plan_id=plan_id, provenance=provenance)


def assemble(
    settings: Settings,
    object_store: ObjectStore,
    ledger: Ledger,
    *,
    catalog_id: str,
    plan_id: str,
    provenance: Mapping[str, str] | None = None,
) -> str:
    """Takes the step of `assemble_index` over connections that are open already."""
    plan = read_plan(object_store, catalog_id, plan_id)
    if find_index_version(object_store, catalog_id, plan.index_version) is not None:
        return plan.index_version
    attempt = attempt_id()
    # Graphs built by several threads differ in their bytes, so each attempt has shard keys of its own.
    shards = tuple(f"shard-{number:04d}-{attempt}" for number in range(len(plan.shards)))
    with scratch_folder(settings, "build") as folder:
        with watched_memory() as peak:
            rows = PlannedRows(object_store, plan, folder)
            vectors = RowVectors.write(folder / "vectors.npy", rows.halves(), dimension=plan.dimension)
            make_shards(settings, object_store, plan, vectors, names=shards, folder=folder)
            manifest = _manifest(plan, shards)
            tuned = _checked(
                settings, object_store, plan, [folder / shard for shard in shards], rows=rows, vectors=vectors
            )
        record_peak(ledger.checks, plan, step="assemble", peak=peak)
        files = _write_files(folder, plan, tuned, shards)
        measured = _measured(plan, [folder / shard for shard in shards], tuned, recorded_peaks(ledger.checks, plan))
        manifest = manifest.model_copy(
            update={
                "search_parameters": tuned.search_parameters,
                "recall_at_10": tuned.recall,
                "files": files,
                "measured": measured,
            }
        )
        prefix = keys.index_prefix(catalog_id, plan.index_version)
        planned = {part.rows_file.name for part in plan.parts}
        for file in files:
            if file.name not in planned:  # rows went up with the plan
                object_store.put_file(f"{prefix}/{file.name}", folder / file.name)
        made = describe_run(provenance, packages=("faiss-cpu", "numpy"))
        commit_index_version(object_store, ledger, manifest, attempt=attempt, provenance=made)
    print(f"{catalog_id}: index {plan.index_version}, {plan.items:,} items, {manifest.index_key}", file=sys.stderr)
    return plan.index_version


def _manifest(plan: IndexPlan, shards: tuple[str, ...]) -> IndexVersion:
    """Returns the manifest as far as the plan settles it."""
    recipe = planned_recipe(plan)
    choice = plan.quantizer
    return IndexVersion(
        index_version=plan.index_version,
        catalog_id=plan.catalog_id,
        fingerprint=plan.fingerprint,
        embedding_set_id=plan.embedding_set_id,
        dimension=plan.dimension,
        items=plan.items,
        index_key=recipe.index_key,
        search_parameters={},
        recall_at_10=_NOT_MEASURED,
        shards=shards,
        files=(),
        recipe=recipe.name,
        plan_id=plan.plan_id,
        quantizer=choice,
        parts=len(plan.parts),
        parts_encoded=len(plan.parts) - plan.parts_standing if choice else 0,
        retrain_due=bool(choice and choice.reused and choice.reasons),
        retrain_reasons=choice.reasons if choice and choice.reused else (),
        predicted=plan.predicted,
    )


def _checked(
    settings: Settings,
    object_store: ObjectStore,
    plan: IndexPlan,
    shards: Sequence[Path],
    *,
    rows: PlannedRows,
    vectors: RowVectors,
) -> TunedSearch:
    """Opens the shards, tunes the search and checks the rows; nothing is open any more when it returns."""
    opened = VectorIndex.open_folders(shards, index_version=plan.index_version)
    tuned = _tuned(settings, object_store, plan, opened, rows=rows, vectors=vectors)
    recipe = planned_recipe(plan)
    check_round_trip(opened, rows, index_key=recipe.index_key, seed=recipe.seed + 1)
    return tuned


def _tuned(
    settings: Settings,
    object_store: ObjectStore,
    plan: IndexPlan,
    opened: VectorIndex,
    *,
    rows: PlannedRows,
    vectors: RowVectors,
) -> TunedSearch:
    goal = TuningGoal(recall_target=plan.recall_target)
    images, texts = held_out_queries(
        settings,
        object_store,
        read_embedding_set(object_store, plan.catalog_id, plan.embedding_set_id),
        item_ids=rows.item_ids,
        vectors=vectors,
        count=goal.queries,
        seed=goal.seed,
    )
    index_key = planned_recipe(plan).index_key
    return tune_search(opened, goal, vectors, images=images, texts=texts, index_key=index_key)


def _measured(plan: IndexPlan, shards: Sequence[Path], tuned: TunedSearch, peaks: Sequence[int]) -> IndexFigures:
    """Returns what the index costs; its memory by opening it in processes of their own, where that tells anything.

    The index is tuned and checked by now, so a figure that cannot be had fails no build: it is left out.
    """
    disk_bytes = sum(path.stat().st_size for shard in shards for path in shard.glob("*.faiss"))
    opened = None
    if disk_bytes >= _LEAST_MEASURED_BYTES:
        try:
            opened = measure_opened_memory(shards)
        except ContractError as error:
            print(f"{plan.catalog_id}: memory of {plan.index_version} is not measured: {error}", file=sys.stderr)
    return IndexFigures(
        memory_bytes=opened.anonymous_bytes if opened else None,
        mapped_bytes=max(0, opened.file_bytes - opened.anonymous_bytes) if opened else None,
        disk_bytes=disk_bytes,
        recall=tuned.recall.worst,
        cpu_ms=tuned.cpu_ms,
        build_peak_bytes=max(peaks, default=None),
    )


def _write_files(folder: Path, plan: IndexPlan, tuned: TunedSearch, shards: Sequence[str]) -> tuple[StoredFile, ...]:
    """Writes what stands beside the index and returns all files of the version."""
    (folder / shards[0] / CURVE_FILE).write_text(json.dumps(tuned.curve_rows(), indent=1), encoding="utf-8")
    if len(tuned.curve) > 1:
        title = f"{plan.catalog_id}: {plan.recipe['index_key']}, {plan.items:,} items"
        plot = folder / shards[0] / PLOT_FILE
        draw_curve(tuned, recall_target=plan.recall_target, title=title, path=plot)
    names = [str(path.relative_to(folder)) for shard in shards for path in sorted((folder / shard).rglob("*"))]
    return (
        *(
            StoredFile(name=name, size_bytes=(folder / name).stat().st_size, sha256=file_sha256(folder / name))
            for name in names
        ),
        *(part.rows_file for part in plan.parts),
    )
