"""An index version: complete, measured, the same however often and however badly it was built."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from index_builder.builds import build_index_version, find_index_version, read_recall
from index_builder.coverage import resolve_head
from tests.index_builder.synthetic_catalog import (
    FINGERPRINT,
    SyntheticCatalog,
    SyntheticItem,
    make_items,
    open_version,
    vector_of,
)
from tests.slow_store import SlowStore
from tests.waiting import wait_for
from vitrine.contracts.releases import IndexVersion
from vitrine.errors import ContractError, GateError, SettingsError
from vitrine.identity import sha256_hex
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_store import file_sha256

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def catalog(object_store: ObjectStore, ledger: Ledger, catalog_id: str) -> SyntheticCatalog:
    return SyntheticCatalog(object_store, ledger, catalog_id)


def test_every_item_stands_in_the_index_once_with_its_own_vector(
    settings: Settings, catalog: SyntheticCatalog, tmp_path: Path
) -> None:
    items = make_items(150)
    catalog.deliver("2026-11-01", items[::-1])
    catalog.embed(items[::-1])

    manifest = _build(settings, catalog)

    index, item_ids = open_version(catalog, manifest, tmp_path)
    assert sorted(item_ids) == sorted(item.item_id for item in items)
    for row in (0, 77, 149):
        expected = vector_of(sha256_hex(f"picture of {item_ids[row]}".encode()))
        assert index.reconstruct(row) @ expected > 0.9999
    assert manifest.index_key == "Flat"
    assert manifest.recall_at_10.image == 1.0
    assert manifest.recall_at_10.text is None


def test_a_graph_reaches_the_recall_target_with_the_cheapest_setting(
    settings: Settings, catalog: SyntheticCatalog, tmp_path: Path
) -> None:
    items = make_items(1500)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)
    graph = settings.model_copy(update={"index_key": "hnsw-sq8"})

    manifest = _build(graph, catalog)

    curve = read_recall(settings, catalog_id=catalog.catalog_id, index_version=manifest.index_version)["curve"]
    assert manifest.index_key == "HNSW32,SQ8"
    assert manifest.recall_at_10.image >= 0.95
    assert manifest.search_parameters == curve[-1]["parameters"]
    assert all(point["image"] < 0.95 for point in curve[:-1])
    index, item_ids = open_version(catalog, manifest, tmp_path)
    queries = np.stack([vector_of(f"query {number}") for number in range(50)])
    _, rows = index.search(queries, top_k=10)
    vectors = np.stack([vector_of(sha256_hex(f"picture of {item_id}".encode())) for item_id in item_ids])
    exact = np.argsort(-queries @ vectors.T, axis=1)[:, :10]
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, exact, strict=True)]) > 0.9


def test_building_again_returns_the_version_that_exists(settings: Settings, catalog: SyntheticCatalog) -> None:
    items = make_items(60)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)
    first = _build(settings, catalog)
    before = dict(catalog.object_store.list_objects(""))

    again = _build(settings, catalog)

    assert again == first
    assert dict(catalog.object_store.list_objects("")) == before


def test_a_price_change_makes_a_new_embedding_set_and_no_new_index(
    settings: Settings, catalog: SyntheticCatalog
) -> None:
    items = make_items(40)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)
    first = _build(settings, catalog)
    cheaper = [SyntheticItem(item.item_id, columns={**item.columns, "price": 1.0}) for item in items]

    catalog.deliver("2026-11-02", cheaper)
    second_set = resolve_head(settings, catalog_id=catalog.catalog_id, fingerprint=FINGERPRINT)
    second = build_index_version(settings, catalog_id=catalog.catalog_id, embedding_set_id=second_set)

    assert second_set != first.embedding_set_id
    assert second == first.index_version


def test_two_ids_of_one_picture_are_two_rows_and_cost_no_recall(settings: Settings, catalog: SyntheticCatalog) -> None:
    items = [SyntheticItem(f"item-{number:03d}", picture=f"picture {number // 30}".encode()) for number in range(120)]
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)

    manifest = _build(settings.model_copy(update={"index_key": "HNSW32,SQ8"}), catalog)

    assert manifest.items == 120
    assert manifest.recall_at_10.image >= 0.95


def test_files_are_as_the_manifest_says(settings: Settings, catalog: SyntheticCatalog, tmp_path: Path) -> None:
    items = make_items(30)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)

    manifest = _build(settings, catalog)

    prefix = keys.index_prefix(catalog.catalog_id, manifest.index_version)
    for file in manifest.files:
        catalog.object_store.get_file(f"{prefix}/{file.name}", tmp_path / "file", sha256=file.sha256)
        assert (tmp_path / "file").stat().st_size == file.size_bytes
        assert file_sha256(tmp_path / "file") == file.sha256


def test_a_head_without_vectors_is_refused_with_the_next_step(settings: Settings, catalog: SyntheticCatalog) -> None:
    items = make_items(130)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items, leave_out_last=True)

    with pytest.raises(ContractError, match=r"1 of 3 units .* `spark_jobs embed"):
        resolve_head(settings, catalog_id=catalog.catalog_id, fingerprint=FINGERPRINT)


def test_a_head_whose_items_were_all_deleted_is_refused(settings: Settings, catalog: SyntheticCatalog) -> None:
    items = make_items(5)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)
    catalog.deliver("2026-11-02", [SyntheticItem(item.item_id, deleted=True) for item in items])

    with pytest.raises(ContractError, match="leave no item"):
        resolve_head(settings, catalog_id=catalog.catalog_id, fingerprint=FINGERPRINT)


def test_a_catalog_without_partitions_is_refused(settings: Settings, catalog: SyntheticCatalog) -> None:
    with pytest.raises(ContractError, match="no partition is published"):
        resolve_head(settings, catalog_id=catalog.catalog_id, fingerprint=FINGERPRINT)


def test_a_missed_recall_target_fails_and_names_the_best(settings: Settings, catalog: SyntheticCatalog) -> None:
    items = make_items(400)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)
    coarse = settings.model_copy(update={"index_key": "IVF16,PQ2x4", "index_recall_target": 0.99})

    with pytest.raises(GateError, match=r"at best .* target 0.99"):
        _build(coarse, catalog)


def test_an_unknown_index_key_is_a_settings_error(settings: Settings, catalog: SyntheticCatalog) -> None:
    items = make_items(10)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)

    with pytest.raises(SettingsError, match="VITRINE_INDEX_KEY"):
        _build(settings.model_copy(update={"index_key": "HNSW32,Nonsense"}), catalog)


def test_one_item_alone_can_be_indexed(settings: Settings, catalog: SyntheticCatalog) -> None:
    items = make_items(1)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)

    manifest = _build(settings, catalog)

    assert manifest.items == 1
    assert manifest.recall_at_10.image is None


@pytest.fixture
def store_that_holds_the_index(settings: Settings) -> Iterator[SlowStore]:
    """A way to the store on which no upload of an index is ever answered: a build waits there until it is killed."""
    with closing(SlowStore(str(settings.s3_endpoint_url), bytes_per_s=1)) as store:
        store.slow_for = "/index.faiss"
        yield store


@pytest.mark.parametrize("point", ["vectors are gathered", "the index is written", "files are uploaded"])
def test_a_killed_build_run_again_ends_as_if_it_had_not_been_killed(
    settings: Settings,
    catalog: SyntheticCatalog,
    store_that_holds_the_index: SlowStore,
    tmp_path: Path,
    point: str,
) -> None:
    items = make_items(1200)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)
    graph = settings.model_copy(update={"index_key": "hnsw-sq8"})
    embedding_set_id = resolve_head(graph, catalog_id=catalog.catalog_id, fingerprint=FINGERPRINT)
    command = [sys.executable, "-m", "index_builder", "build"]
    command += ["--catalog", catalog.catalog_id, "--embedding-set", embedding_set_id]
    scratch = graph.state_dir / "scratch"
    reached = {
        "vectors are gathered": lambda: any(scratch.glob("build-*/vectors.npy")),
        "the index is written": lambda: any(scratch.glob("build-*/shard-*/index.faiss")),
        "files are uploaded": store_that_holds_the_index.asked.is_set,
    }[point]
    environment = graph.model_copy(update={"s3_endpoint_url": store_that_holds_the_index.url}).to_environment()
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}) as process:
        wait_for(lambda: reached() or process.poll() is not None, what=point, every_s=0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL  # it met a running build

    index_version = build_index_version(graph, catalog_id=catalog.catalog_id, embedding_set_id=embedding_set_id)

    manifest = find_index_version(catalog.object_store, catalog.catalog_id, index_version)
    _, item_ids = open_version(catalog, manifest, tmp_path)
    assert sorted(item_ids) == [item.item_id for item in items]
    assert manifest.recall_at_10.image >= 0.95


def test_attempts_that_race_end_as_one_version(settings: Settings, catalog: SyntheticCatalog, tmp_path: Path) -> None:
    items = make_items(300)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)
    graph = settings.model_copy(update={"index_key": "hnsw-sq8"})
    embedding_set_id = resolve_head(graph, catalog_id=catalog.catalog_id, fingerprint=FINGERPRINT)

    with ThreadPoolExecutor(2) as pool:
        versions = set(
            pool.map(
                lambda _: build_index_version(graph, catalog_id=catalog.catalog_id, embedding_set_id=embedding_set_id),
                range(2),
            )
        )

    [index_version] = versions
    manifest = find_index_version(catalog.object_store, catalog.catalog_id, index_version)
    _, item_ids = open_version(catalog, manifest, tmp_path)
    assert len(item_ids) == 300


def _build(settings: Settings, catalog: SyntheticCatalog) -> IndexVersion:
    embedding_set_id = resolve_head(settings, catalog_id=catalog.catalog_id, fingerprint=FINGERPRINT)
    index_version = build_index_version(settings, catalog_id=catalog.catalog_id, embedding_set_id=embedding_set_id)
    manifest = find_index_version(catalog.object_store, catalog.catalog_id, index_version)
    assert manifest is not None
    return manifest
