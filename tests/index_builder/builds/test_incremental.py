"""Builds that share a quantizer: what changed is encoded and nothing else, as long as the quantizer fits."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from index_builder.builds import build_index_version, find_index_version, plan_build
from index_builder.builds.parts.encoded_parts import encoded_part_ids
from index_builder.builds.plans import read_plan
from index_builder.coverage import resolve_head
from tests.index_builder.synthetic_catalog import (
    DIMENSION,
    FINGERPRINT,
    SyntheticCatalog,
    SyntheticItem,
    make_items,
    open_version,
)
from vitrine.contracts.releases import IndexVersion
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Lists that are merged, in parts of a few units, by one thread."""
    changed = {"index_key": "IVF16,SQ8", "index_part_rows": 512, "index_threads": 1}
    return settings.model_copy(update=changed)


@pytest.fixture
def catalog(object_store: ObjectStore, ledger: Ledger, catalog_id: str) -> SyntheticCatalog:
    """A day of 40 packs of 64 pictures."""
    catalog = SyntheticCatalog(object_store, ledger, catalog_id, pack_rows=64)
    _deliver(catalog, "2026-11-01", packs=range(40))
    return catalog


def test_a_build_encodes_each_part_once_and_merges_them_in_row_order(
    settings: Settings, catalog: SyntheticCatalog, tmp_path: Path
) -> None:
    manifest = _build(settings, catalog)

    plan = read_plan(catalog.object_store, catalog.catalog_id, manifest.plan_id)
    encoded = encoded_part_ids(catalog.object_store, catalog.catalog_id, manifest.quantizer.quantizer_id)
    index, item_ids = open_version(catalog, manifest, tmp_path)
    assert manifest.parts == manifest.parts_encoded == len(plan.parts) > 5
    assert encoded == {part.part_id for part in plan.parts}
    assert sorted(item_ids) == sorted(item.item_id for item in make_items(40 * 64))
    for row in range(0, manifest.items, 97):
        assert index.reconstruct(row) @ _vector(item_ids[row]) > 0.999
    assert manifest.recall_at_10.image >= 0.95
    assert manifest.quantizer.reused is False
    assert manifest.quantizer.fit == manifest.quantizer.fit_at_training
    assert manifest.measured.build_peak_bytes > 0


def test_a_new_pack_costs_the_part_that_it_falls_into_and_no_training(
    settings: Settings, catalog: SyntheticCatalog, tmp_path: Path
) -> None:
    first = _build(settings, catalog)
    _deliver(catalog, "2026-11-02", packs=[40])

    second = _build(settings, catalog)

    index, item_ids = open_version(catalog, second, tmp_path)
    assert second.index_version != first.index_version
    assert second.quantizer.quantizer_id == first.quantizer.quantizer_id
    assert (second.quantizer.reused, second.retrain_due, second.quantizer.reasons) == (True, False, ())
    assert 1 <= second.parts_encoded <= 3 < second.parts - 3
    assert sorted(item_ids) == sorted(item.item_id for item in make_items(41 * 64))
    assert all(index.reconstruct(row) @ _vector(item_ids[row]) > 0.999 for row in range(0, second.items, 97))


def test_items_that_leave_are_gone_and_cost_their_parts_only(
    settings: Settings, catalog: SyntheticCatalog, tmp_path: Path
) -> None:
    first = _build(settings, catalog)
    gone = [SyntheticItem(item.item_id, deleted=True) for item in make_items(3, start=700)]
    catalog.deliver("2026-11-02", gone)

    second = _build(settings, catalog)

    _, item_ids = open_version(catalog, second, tmp_path)
    assert second.items == first.items - 3
    assert 1 <= second.parts_encoded <= 3
    assert not {item.item_id for item in gone} & set(item_ids)


def test_an_incremental_build_is_the_index_that_a_full_one_with_its_quantizer_would_be(
    settings: Settings, catalog: SyntheticCatalog, tmp_path: Path
) -> None:
    _build(settings, catalog)
    _deliver(catalog, "2026-11-02", packs=[40])
    second = _build(settings, catalog)
    _forget(catalog, f"encoded_parts/{second.quantizer.quantizer_id}/", f"indexes/{second.index_version}/shard")
    _forget(catalog, f"indexes/{second.index_version}/manifest.json", f"index_plans/{second.plan_id}")

    again = _build(settings, catalog)

    assert again.index_version == second.index_version
    assert again.parts_encoded == again.parts
    assert _index_bytes(again) == _index_bytes(second)


def test_other_pictures_make_a_retrain_due_and_the_manifest_says_why(
    settings: Settings, catalog: SyntheticCatalog
) -> None:
    settings = settings.model_copy(update={"index_recall_target": 0.5})  # the old codes do not reach far
    first = _build(settings, catalog)
    _deliver(catalog, "2026-11-02", packs=range(100, 140), shifted=True)

    by_hand = _build(settings.model_copy(update={"index_retrain": "by_hand"}), catalog)
    when_due = _build(settings, catalog)  # finds the index that the head has: only a retrain makes another
    retrained = _build(settings, catalog, retrain=True)

    assert when_due == by_hand
    assert (by_hand.quantizer.reused, by_hand.retrain_due) == (True, True)
    assert by_hand.quantizer.fit.error > 1.1 * first.quantizer.fit.error
    assert "quantization error" in by_hand.retrain_reasons[0]
    assert retrained.quantizer.quantizer_id != first.quantizer.quantizer_id
    assert (retrained.quantizer.reused, retrained.retrain_due) == (False, False)
    assert retrained.quantizer.fit.error < by_hand.quantizer.fit.error
    assert retrained.parts_encoded == retrained.parts


def test_drift_trains_a_new_quantizer_by_itself_and_later_builds_take_it(
    settings: Settings, catalog: SyntheticCatalog
) -> None:
    first = _build(settings, catalog)
    _deliver(catalog, "2026-11-02", packs=range(100, 140), shifted=True)
    second = _build(settings, catalog)
    _deliver(catalog, "2026-11-03", packs=[200])

    third = _build(settings, catalog)

    assert second.quantizer.quantizer_id != first.quantizer.quantizer_id
    assert "quantization error" in second.quantizer.reasons[0]
    assert (third.quantizer.quantizer_id, third.quantizer.reused) == (second.quantizer.quantizer_id, True)


@pytest.mark.parametrize("whole", [{"index_key": "HNSW32,SQ8"}, {"index_part_rows": 100_000}])
def test_a_retrain_that_finds_nothing_to_train_says_so_and_goes_on(
    settings: Settings, catalog: SyntheticCatalog, capsys: pytest.CaptureFixture[str], whole: dict[str, object]
) -> None:
    embedding_set_id = resolve_head(settings, catalog_id=catalog.catalog_id, fingerprint=FINGERPRINT)

    plan_id = plan_build(
        settings.model_copy(update=whole),
        catalog_id=catalog.catalog_id,
        embedding_set_id=embedding_set_id,
        retrain=True,
    )

    assert read_plan(catalog.object_store, catalog.catalog_id, plan_id).quantizer is None
    assert "built whole: no quantizer to retrain" in capsys.readouterr().err


def test_planning_again_returns_the_plan_of_the_index_that_exists(
    settings: Settings, catalog: SyntheticCatalog
) -> None:
    manifest = _build(settings, catalog)
    before = dict(catalog.object_store.list_objects(""))

    plan_id = plan_build(
        settings, catalog_id=catalog.catalog_id, embedding_set_id=manifest.embedding_set_id, retrain=False
    )

    assert plan_id == manifest.plan_id
    assert dict(catalog.object_store.list_objects("")) == before


def _deliver(catalog: SyntheticCatalog, dt: str, *, packs: range | list[int], shifted: bool = False) -> None:
    """Delivers packs of 64 items; shifted ones lie elsewhere in the space."""
    items = [item for pack in packs for item in make_items(64, start=64 * pack)]

    def encode(images: list[bytes]) -> np.ndarray:
        names = [image.decode().removeprefix("picture of ") for image in images]
        return np.stack([_vector(name, shifted=shifted) for name in names])

    catalog.deliver(dt, items)
    catalog.embed(items, encode=encode)


def _vector(item_id: str, *, shifted: bool = False) -> np.ndarray:
    seed = int(hashlib.sha256(item_id.encode()).hexdigest()[:8], 16)
    generator = np.random.default_rng(seed)
    center = np.random.default_rng(seed % 12 + (1000 if shifted else 0)).standard_normal(DIMENSION)
    vector = center + 0.5 * generator.standard_normal(DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _build(settings: Settings, catalog: SyntheticCatalog, *, retrain: bool = False) -> IndexVersion:
    embedding_set_id = resolve_head(settings, catalog_id=catalog.catalog_id, fingerprint=FINGERPRINT)
    index_version = build_index_version(
        settings, catalog_id=catalog.catalog_id, embedding_set_id=embedding_set_id, retrain=retrain
    )
    manifest = find_index_version(catalog.object_store, catalog.catalog_id, index_version)
    assert manifest is not None
    return manifest


def _forget(catalog: SyntheticCatalog, *prefixes: str) -> None:
    for prefix in prefixes:
        for key in list(catalog.object_store.list_keys(f"{catalog.catalog_id}/{prefix}")):
            catalog.object_store.delete(key)
            with catalog.ledger.database.transaction() as connection:  # else what was written first would come back
                connection.exec_driver_sql(
                    "DELETE FROM committed_attempts WHERE scope = 'document' AND key = %(key)s",
                    {"key": f"{catalog.object_store.bucket}/{key}"},
                )


def _index_bytes(manifest: IndexVersion) -> list[str]:
    return [file.sha256 for file in manifest.files if file.name.endswith(".faiss")]
