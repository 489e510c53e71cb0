"""What an index is checked against before it counts: the embedding set's rows, and the vectors of its items."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from index_builder.builds import (
    assemble_index,
    assembly,
    build_index_version,
    encode_parts,
    find_index_version,
    plan_build,
)
from index_builder.builds.parts.encoded_parts import fetch_encoded_part, put_encoded_part
from index_builder.builds.plans import read_plan
from index_builder.coverage import resolve_head
from index_builder.planning.opened_memory import OpenedMemory, measure_opened_memory
from tests.index_builder.synthetic_catalog import FINGERPRINT, SyntheticCatalog, make_items
from vitrine.contracts.index_builds import IndexPlan
from vitrine.contracts.releases import IndexVersion
from vitrine.errors import ContractError, ObjectMissingError
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.vector_index import VectorIndex


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Parts of one unit each, and no gate that would speak first."""
    changed = {"index_key": "IVF8,SQ8", "index_part_rows": 64, "index_recall_target": 0.0}
    return settings.model_copy(update=changed)


@pytest.fixture
def plan(settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str) -> IndexPlan:
    catalog = SyntheticCatalog(object_store, ledger, catalog_id, pack_rows=64)
    items = make_items(640)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)
    embedding_set_id = resolve_head(settings, catalog_id=catalog_id, fingerprint=FINGERPRINT)
    plan_id = plan_build(settings, catalog_id=catalog_id, embedding_set_id=embedding_set_id)
    encode_parts(settings, catalog_id=catalog_id, plan_id=plan_id)
    return read_plan(object_store, catalog_id, plan_id)


def test_an_index_whose_rows_hold_other_items_vectors_is_refused(
    settings: Settings, object_store: ObjectStore, plan: IndexPlan, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, second = plan.parts[:2]
    quantizer_id = plan.quantizer.quantizer_id
    folder = tmp_path_factory.mktemp("second")
    fetch_encoded_part(object_store, plan.catalog_id, quantizer_id, second, folder)
    put_encoded_part(object_store, plan.catalog_id, quantizer_id, first, folder)

    with pytest.raises(ContractError, match=r"sampled rows do not hold their item's vector \(first: row \d+, item 'i"):
        assemble_index(settings, catalog_id=plan.catalog_id, plan_id=plan.plan_id)

    assert find_index_version(object_store, plan.catalog_id, plan.index_version) is None


@pytest.mark.parametrize("index_key", ["IVF8,PQ3x4", "HNSW16,PQ3x4", "IVF8,RaBitQ"])
def test_an_index_of_coarse_codes_counts_when_its_rows_are_in_order(
    settings: Settings, object_store: ObjectStore, plan: IndexPlan, index_key: str
) -> None:
    coarse = settings.model_copy(update={"index_key": index_key})

    index_version = build_index_version(coarse, catalog_id=plan.catalog_id, embedding_set_id=plan.embedding_set_id)

    assert find_index_version(object_store, plan.catalog_id, index_version).index_key == index_key


def test_a_plan_that_lost_rows_of_the_embedding_set_is_refused(
    settings: Settings, object_store: ObjectStore, plan: IndexPlan
) -> None:
    shorter = plan.model_copy(update={"plan_id": "plan-short", "parts": plan.parts[:-1], "shards": (9,)})
    object_store.put_bytes(keys.index_plan(plan.catalog_id, "plan-short"), shorter.to_bytes())

    with pytest.raises(ContractError, match=r"expected the 640 rows of embeddings-.* found 576"):
        assemble_index(settings, catalog_id=plan.catalog_id, plan_id="plan-short")


def test_a_part_that_was_not_encoded_is_missed(settings: Settings, object_store: ObjectStore, plan: IndexPlan) -> None:
    prefix = keys.encoded_part_prefix(plan.catalog_id, plan.quantizer.quantizer_id, plan.parts[3].part_id)
    for key in list(object_store.list_keys(prefix)):
        object_store.delete(key)

    with pytest.raises(ObjectMissingError, match=plan.parts[3].part_id):
        assemble_index(settings, catalog_id=plan.catalog_id, plan_id=plan.plan_id)


def test_the_index_is_closed_before_processes_open_it_to_measure_it(
    settings: Settings, plan: IndexPlan, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_other_tests = _open_indexes()
    still_open: list[VectorIndex] = []

    def measure(shards: Sequence[Path]) -> OpenedMemory:
        still_open.extend(held for held in _open_indexes() if not any(held is other for other in of_other_tests))
        return measure_opened_memory(shards)

    monkeypatch.setattr(assembly, "_LEAST_MEASURED_BYTES", 0)
    monkeypatch.setattr(assembly, "measure_opened_memory", measure)

    assemble_index(settings, catalog_id=plan.catalog_id, plan_id=plan.plan_id)

    assert not still_open
    assert find_index_version(object_store, plan.catalog_id, plan.index_version).measured.memory_bytes > 0


def test_a_build_whose_memory_cannot_be_measured_says_so_and_counts(
    settings: Settings,
    plan: IndexPlan,
    object_store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(assembly, "_LEAST_MEASURED_BYTES", 0)
    monkeypatch.setattr(sys, "executable", "/bin/false")

    assemble_index(settings, catalog_id=plan.catalog_id, plan_id=plan.plan_id)

    manifest = find_index_version(object_store, plan.catalog_id, plan.index_version)
    assert (manifest.measured.memory_bytes, manifest.measured.mapped_bytes) == (None, None)
    assert manifest.measured.disk_bytes > 0
    assert f"memory of {plan.index_version} is not measured: " in capsys.readouterr().err


def test_a_return_to_a_head_needs_its_plan_and_neither_parts_nor_quantizer(
    settings: Settings, object_store: ObjectStore, plan: IndexPlan
) -> None:
    index_version = assemble_index(settings, catalog_id=plan.catalog_id, plan_id=plan.plan_id)
    quantizer_id = plan.quantizer.quantizer_id
    for prefix in (
        keys.encoded_parts_prefix(plan.catalog_id, quantizer_id),
        keys.quantizer_prefix(plan.catalog_id, quantizer_id),
    ):
        for key in list(object_store.list_keys(f"{prefix}/")):
            object_store.delete(key)

    again = build_index_version(settings, catalog_id=plan.catalog_id, embedding_set_id=plan.embedding_set_id)

    assert again == index_version


def test_a_manifest_from_before_builds_had_plans_is_read(
    settings: Settings, object_store: ObjectStore, plan: IndexPlan
) -> None:
    assemble_index(settings, catalog_id=plan.catalog_id, plan_id=plan.plan_id)
    manifest = find_index_version(object_store, plan.catalog_id, plan.index_version)
    known_before = {
        *("index_version", "catalog_id", "fingerprint", "embedding_set_id", "dimension", "items", "index_key"),
        *("search_parameters", "recall_at_10", "shards", "files"),
    }
    document = {name: value for name, value in json.loads(manifest.to_bytes()).items() if name in known_before}

    read = IndexVersion.from_bytes(json.dumps(document).encode())

    assert (read.items, read.shards) == (640, manifest.shards)
    assert (read.plan_id, read.quantizer, read.parts, read.retrain_due) == (None, None, 0, False)
    assert manifest.quantizer == plan.quantizer
    assert manifest.parts == manifest.parts_encoded == 10


def _open_indexes() -> list[VectorIndex]:
    return [held for held in gc.get_objects() if isinstance(held, VectorIndex)]
