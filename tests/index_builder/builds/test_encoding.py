"""Encoding of parts: by Spark or in the process, the same bytes; and no JVM where there is nothing to encode."""

from __future__ import annotations

import pytest

from index_builder.builds import encode_parts, needs_spark, plan_build
from index_builder.builds.parts.encoded_parts import encoded_part_ids
from index_builder.builds.plans import read_plan
from index_builder.coverage import resolve_head
from tests.index_builder.synthetic_catalog import FINGERPRINT, SyntheticCatalog, make_items
from vitrine.contracts.index_builds import EncodedPart, IndexPlan
from vitrine.errors import ContractError
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

pytestmark = pytest.mark.usefixtures("local_spark")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    changed = {"index_key": "IVF16,SQ8", "index_part_rows": 512, "index_encode_in_process_rows": 0}
    return settings.model_copy(update=changed)


@pytest.fixture
def catalog(object_store: ObjectStore, ledger: Ledger, catalog_id: str) -> SyntheticCatalog:
    catalog = SyntheticCatalog(object_store, ledger, catalog_id, pack_rows=128)
    items = make_items(2000)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)
    return catalog


def test_spark_encodes_what_this_process_would_and_repeats_nothing(
    settings: Settings, catalog: SyntheticCatalog, ledger: Ledger
) -> None:
    catalog_id, object_store = catalog.catalog_id, catalog.object_store
    plan = _plan(settings, catalog)
    here = settings.model_copy(update={"index_encode_in_process_rows": 10_000})
    by_itself = encode_parts(here, catalog_id=catalog_id, plan_id=plan.plan_id)
    expected = _encoded(object_store, plan)
    kept = plan.parts[0].part_id
    for part in plan.parts[1:]:
        _forget(object_store, plan, part.part_id)

    needed = needs_spark(settings, catalog_id=catalog_id, plan_id=plan.plan_id)
    by_spark = encode_parts(settings, catalog_id=catalog_id, plan_id=plan.plan_id)

    assert needed
    assert not needs_spark(here, catalog_id=catalog_id, plan_id=plan.plan_id)
    assert (by_itself.encoded, by_itself.workers) == (len(plan.parts), 0)
    assert by_spark.encoded == len(plan.parts) - 1 > 4
    assert by_spark.rows == 2000 - plan.parts[0].rows
    assert by_spark.workers >= 1
    assert _encoded(object_store, plan) == expected
    assert kept in encoded_part_ids(object_store, catalog_id, plan.quantizer.quantizer_id)
    peaks = ledger.checks.series(catalog_id=catalog_id, check_name="index_build_peak_bytes")
    assert [entry["detail"]["step"] for entry in peaks] == ["encode", "encode", "plan"]
    assert all(entry["value"] > 0 for entry in peaks)


def test_a_plan_whose_parts_are_encoded_needs_no_spark(settings: Settings, catalog: SyntheticCatalog) -> None:
    plan = _plan(settings, catalog)
    here = settings.model_copy(update={"index_encode_in_process_rows": 10_000})
    encode_parts(here, catalog_id=catalog.catalog_id, plan_id=plan.plan_id)

    again = encode_parts(settings, catalog_id=catalog.catalog_id, plan_id=plan.plan_id)

    assert (again.parts, again.encoded) == (len(plan.parts), 0)
    assert not needs_spark(settings, catalog_id=catalog.catalog_id, plan_id=plan.plan_id)


def test_an_index_that_is_built_whole_has_nothing_to_encode(settings: Settings, catalog: SyntheticCatalog) -> None:
    plan = _plan(settings.model_copy(update={"index_key": "HNSW32,SQ8"}), catalog)

    summary = encode_parts(settings, catalog_id=catalog.catalog_id, plan_id=plan.plan_id)

    assert plan.quantizer is None
    assert summary.encoded == 0


def test_what_a_worker_raises_comes_out_as_itself(settings: Settings, catalog: SyntheticCatalog) -> None:
    plan = _plan(settings, catalog)
    prefix = keys.index_prefix(catalog.catalog_id, plan.index_version)
    catalog.object_store.delete(f"{prefix}/{plan.parts[1].rows_file.name}")

    with pytest.raises(Exception, match=r"part-00001-.* does not exist") as raised:
        encode_parts(settings, catalog_id=catalog.catalog_id, plan_id=plan.plan_id)

    assert type(raised.value).__name__ == "ObjectMissingError"
    with pytest.raises(ContractError, match="plan-none does not exist"):
        encode_parts(settings, catalog_id=catalog.catalog_id, plan_id="plan-none")


def _plan(settings: Settings, catalog: SyntheticCatalog) -> IndexPlan:
    embedding_set_id = resolve_head(settings, catalog_id=catalog.catalog_id, fingerprint=FINGERPRINT)
    plan_id = plan_build(settings, catalog_id=catalog.catalog_id, embedding_set_id=embedding_set_id)
    return read_plan(catalog.object_store, catalog.catalog_id, plan_id)


def _encoded(object_store: ObjectStore, plan: IndexPlan) -> dict[str, list[str]]:
    """SHA-256 of the files of each encoded part."""
    found = {}
    for part in plan.parts:
        key = f"{keys.encoded_part_prefix(plan.catalog_id, plan.quantizer.quantizer_id, part.part_id)}/part.json"
        found[part.part_id] = [file.sha256 for file in EncodedPart.from_bytes(object_store.get_bytes(key)).files]
    return found


def _forget(object_store: ObjectStore, plan: IndexPlan, part_id: str) -> None:
    prefix = keys.encoded_part_prefix(plan.catalog_id, plan.quantizer.quantizer_id, part_id)
    for key in list(object_store.list_keys(prefix)):
        object_store.delete(key)
