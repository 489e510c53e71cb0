"""An index version: built over one embedding set, measured, checked, and written with its manifest last."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index_builder.heads import read_rows, rows_digest
from index_builder.held_out import held_out_queries
from index_builder.recipes import Recipe, choose_recipe
from index_builder.tuning import TunedSearch, TuningGoal, tune_search, tuning_goal
from index_builder.vectors import RowVectors, gather_vectors
from vitrine.connections import open_ledger, open_object_store
from vitrine.contracts.datasets import EmbeddingSet
from vitrine.contracts.document import StoredFile
from vitrine.contracts.releases import IndexVersion
from vitrine.embedding_sets import read_embedding_set
from vitrine.errors import ContractError, ObjectMissingError
from vitrine.identity import attempt_id, content_id
from vitrine.ledger import Head
from vitrine.progress import progress
from vitrine.provenance import PROVENANCE_FILE, describe_run
from vitrine.scratch import scratch_folder
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_store import file_sha256
from vitrine.vector_index import INDEX_FILE, REFINEMENT_FILE, VectorIndex

CURVE_FILE = "recall_curve.json"
_ROWS_IN_A_PART = 1_000_000
_ROUND_TRIPS = 200
_LEAST_COSINE = 0.9  # of a row to its own vector; 8 bits leave 0.9999, so less means another row's vector


def build_index_version(
    settings: Settings, *, catalog_id: str, embedding_set_id: str, provenance: Mapping[str, str] | None = None
) -> str:
    """Builds the index of an embedding set, unless the version exists already; returns the index version.

    Killed at any point, it starts over when run again and ends with the same version, rows and recall.

    Args:
        provenance: `dag_id` and `dag_run_id` of the run that asked.

    Raises:
        GateError: the index does not reach the recall target; the message names the best.
        ContractError: the head's rows or their vectors are not what the embedding set says.
    """
    object_store = open_object_store(settings)
    embedding_set = read_embedding_set(object_store, catalog_id, embedding_set_id)
    recipe = choose_recipe(settings, items=embedding_set.items, dimension=embedding_set.dimension)
    goal = tuning_goal(settings)
    made_of = [embedding_set.fingerprint, embedding_set.rows_digest, recipe.identity(), goal.identity()]
    identity = [catalog_id, *made_of]
    index_version = content_id("index", identity)
    if find_index_version(object_store, catalog_id, index_version) is not None:
        return index_version
    attempt = attempt_id()
    with scratch_folder(settings, "build") as folder:
        head = Head(catalog_id, embedding_set.head_sequence, embedding_set.manifests)
        rows = _rows_of(object_store, embedding_set, head)
        vectors = gather_vectors(object_store, embedding_set, rows, path=folder / "vectors.npy")
        # Graphs built by several threads differ in their bytes, so each attempt has a shard key of its own.
        shard = f"shard-0000-{attempt}"
        _fill_shard(settings, recipe, vectors, into=folder / shard, label=f"{catalog_id}: {recipe.index_key}")
        opened = VectorIndex.open_folders([folder / shard], index_version=index_version)
        tuned = _measure(
            settings, object_store, embedding_set, opened, recipe=recipe, goal=goal, rows=rows, vectors=vectors
        )
        _check_round_trip(opened, rows, vectors, seed=recipe.seed)
        files = _write_files(folder, rows, tuned, shard=shard)
        manifest = IndexVersion(
            index_version=index_version,
            catalog_id=catalog_id,
            fingerprint=embedding_set.fingerprint,
            embedding_set_id=embedding_set_id,
            dimension=embedding_set.dimension,
            items=embedding_set.items,
            index_key=recipe.index_key,
            search_parameters=tuned.search_parameters,
            recall_at_10=tuned.recall,
            shards=(shard,),
            files=files,
        )
        prefix = keys.index_prefix(catalog_id, index_version)
        for file in files:
            object_store.put_file(f"{prefix}/{file.name}", folder / file.name)
    made = describe_run(provenance, packages=("faiss-cpu", "numpy"))
    _commit(settings, object_store, manifest, attempt=attempt, provenance=made.to_bytes())
    print(f"{catalog_id}: index {index_version}, {manifest.items:,} items, {manifest.index_key}", file=sys.stderr)
    return index_version


def find_index_version(object_store: ObjectStore, catalog_id: str, index_version: str) -> IndexVersion | None:
    """Returns the manifest of an index version, or None when it was never completed."""
    try:
        return IndexVersion.from_bytes(
            object_store.get_bytes(f"{keys.index_prefix(catalog_id, index_version)}/manifest.json")
        )
    except ObjectMissingError:
        return None


def read_recall(settings: Settings, *, catalog_id: str, index_version: str) -> dict[str, Any]:
    """Returns what was measured of an index version: recall, the parameters chosen, and the curve that led to them.

    Raises:
        ContractError: the version does not exist.
    """
    object_store = open_object_store(settings)
    manifest = find_index_version(object_store, catalog_id, index_version)
    if manifest is None:
        raise ContractError(f"catalog {catalog_id}: index {index_version} does not exist; build it first")
    prefix = keys.index_prefix(catalog_id, index_version)
    curves = [
        json.loads(object_store.get_bytes(f"{prefix}/{file.name}"))
        for file in manifest.files
        if file.name.endswith(CURVE_FILE)
    ]
    return {
        "index_version": index_version,
        "index_key": manifest.index_key,
        "items": manifest.items,
        "search_parameters": manifest.search_parameters,
        "recall_at_10": manifest.recall_at_10.model_dump(),
        "curve": curves[0] if curves else [],
    }


def _rows_of(object_store: ObjectStore, embedding_set: EmbeddingSet, head: Head) -> pa.Table:
    rows = read_rows(object_store, head)
    found = rows_digest(rows)
    if (rows.num_rows, found) != (embedding_set.items, embedding_set.rows_digest):
        raise ContractError(
            f"embedding set {embedding_set.embedding_set_id}: expected {embedding_set.items} rows of digest "
            f"{embedding_set.rows_digest}, found {rows.num_rows} of {found}; "
            "a manifest was changed after it was written"
        )
    return rows


def _fill_shard(settings: Settings, recipe: Recipe, vectors: RowVectors, *, into: Path, label: str) -> None:
    # A random sample over everything: the first rows are those of the smallest ids, often one supplier's.
    sample = vectors.rows(vectors.sample(recipe.train_rows, seed=recipe.seed))
    trained = recipe.train(sample, threads=settings.index_threads)
    with progress(label, total=vectors.items) as advance:

        def batches() -> Iterator[NDArray[np.float32]]:
            for _, batch in vectors.batches():
                yield batch
                advance(len(batch))

        trained.build(batches(), into=into)


def _measure(
    settings: Settings,
    object_store: ObjectStore,
    embedding_set: EmbeddingSet,
    opened: VectorIndex,
    *,
    recipe: Recipe,
    goal: TuningGoal,
    rows: pa.Table,
    vectors: RowVectors,
) -> TunedSearch:
    if opened.items != embedding_set.items:
        raise ContractError(
            f"index {opened.index_version}: expected {embedding_set.items} rows, one for each item of the head, found "
            f"{opened.items}; the build lost or doubled rows"
        )
    images, texts = held_out_queries(
        settings,
        object_store,
        embedding_set,
        rows=rows,
        vectors=vectors,
        count=goal.queries,
        seed=goal.seed,
    )
    return tune_search(opened, goal, vectors, images=images, texts=texts, index_key=recipe.index_key)


def _check_round_trip(opened: VectorIndex, rows: pa.Table, vectors: RowVectors, *, seed: int) -> None:
    """Checks on a sample that row i of the index holds the vector of row i."""
    sample = vectors.sample(_ROUND_TRIPS, seed=seed + 1)
    stored = np.stack([opened.reconstruct(int(row)) for row in sample])
    cosines = np.einsum("nd,nd->n", stored, vectors.rows(sample))
    wrong = np.flatnonzero(cosines < _LEAST_COSINE)
    if len(wrong):
        row = int(sample[wrong[0]])
        raise ContractError(
            f"index {opened.index_version}: {len(wrong)} of {len(sample)} sampled rows do not hold their item's vector "
            f"(first: row {row}, item {rows['item_id'][row].as_py()!r}, cosine {cosines[wrong[0]]:.3f}); "
            "the rows are out of order: build again"
        )


def _write_files(folder: Path, rows: pa.Table, tuned: TunedSearch, *, shard: str) -> tuple[StoredFile, ...]:
    """Writes what stands beside the index and returns all files of the version."""
    names = [f"{shard}/{INDEX_FILE}"]
    (folder / "rows").mkdir()
    named = rows.select(["item_id", "embedding_key"])
    for part, start in enumerate(range(0, named.num_rows, _ROWS_IN_A_PART)):
        names.append(f"rows/part-{part:05d}.parquet")
        pq.write_table(named.slice(start, _ROWS_IN_A_PART), folder / names[-1], compression="zstd")
    if (folder / shard / REFINEMENT_FILE).is_file():
        names.append(f"{shard}/{REFINEMENT_FILE}")
    (folder / shard / CURVE_FILE).write_text(json.dumps(tuned.curve_rows(), indent=1), encoding="utf-8")
    names.append(f"{shard}/{CURVE_FILE}")
    return tuple(
        StoredFile(name=name, size_bytes=(folder / name).stat().st_size, sha256=file_sha256(folder / name))
        for name in names
    )


def _commit(
    settings: Settings, object_store: ObjectStore, manifest: IndexVersion, *, attempt: str, provenance: bytes
) -> None:
    """Makes one of several racing attempts the version: the first insert in the ledger wins, then its manifest goes up.

    A run that dies between the two leaves a version without manifest; the next run builds again and finishes the first.
    """
    prefix = keys.index_prefix(manifest.catalog_id, manifest.index_version)
    ledger = open_ledger(settings)
    try:
        standing = ledger.attempts.commit(
            scope="index_version",
            key=f"{manifest.catalog_id}/{manifest.index_version}",
            attempt_id=attempt,
            result=manifest.model_dump(mode="json"),
        )
    finally:
        ledger.close()
    winner = IndexVersion.model_validate(standing.result)
    if not all(object_store.exists(f"{prefix}/{file.name}") for file in winner.files):
        winner = manifest  # the version was collected as garbage since: this attempt's files are the only ones
    if not object_store.exists(f"{prefix}/{PROVENANCE_FILE}"):
        object_store.put_bytes(f"{prefix}/{PROVENANCE_FILE}", provenance)
    object_store.put_bytes(f"{prefix}/manifest.json", winner.to_bytes())
