"""Embedding, in this process and by Spark: nothing twice, and nothing that differs from what was validated."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from sqlalchemy import delete

from spark_jobs.embedding import run_embed_job
from spark_jobs.embedding.images import embed_images
from spark_jobs.embedding.units import EmbeddingUnit
from spark_jobs.publication import publish_partition
from spark_runtime.session import SparkIsNeeded, without_spark
from tests.spark_jobs.candidate_rows import DT, ProfiledDelivery, write_manifest, write_pack
from tests.spark_jobs.embedding_runs import held_unit, many_units, running_driver, stored_vectors, wait_for_blocks
from vitrine.catalogs import Catalog
from vitrine.encoder import Encoder
from vitrine.errors import ContractError, GateError, ObjectCorruptError, SettingsError, SpaceMixError
from vitrine.head.reader import external_fingerprint
from vitrine.ledger import Ledger, tables
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

UNITS = 60

pytestmark = pytest.mark.usefixtures("local_spark")


@pytest.fixture
def settings(either_way: Settings) -> Settings:
    """Each test holds for both engines."""
    return either_way


def test_a_day_is_embedded_once_and_then_published(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str, fingerprint: str, encoder: Encoder
) -> None:
    delivery = ProfiledDelivery(Catalog(catalog_id=catalog_id))
    for number in range(20):
        delivery.accept(f"item-{number}")
    delivery.delete("gone")
    manifest_id = write_manifest(settings, delivery, pack_rows=6)
    publish = {"catalog_id": catalog_id, "dt": DT, "manifest_id": manifest_id, "fingerprints": [fingerprint]}
    with pytest.raises(ContractError, match="4 of 4 units without a block"):
        publish_partition(settings, **publish)

    summary = run_embed_job(settings, catalog_id=catalog_id, fingerprint=fingerprint, manifests={DT: manifest_id})
    head = publish_partition(settings, **publish)
    again = run_embed_job(settings, catalog_id=catalog_id, fingerprint=fingerprint)

    assert (summary.units, summary.blocks, summary.images) == (4, 4, 20)
    assert max(summary.workers, summary.encoder_loads) <= (os.cpu_count() or 1)
    assert (again.units, again.workers) == (0, 0)
    assert head == publish_partition(settings, **publish) == 1
    images = {row["image_sha256"]: row["image"] for row in delivery.rows if row.get("image")}
    stored = stored_vectors(object_store, ledger, catalog_id, fingerprint)
    expected = encoder.encode_images([images[name] for name in stored])
    np.testing.assert_allclose(np.stack([vector for vector, _ in stored.values()]), expected.embeddings, atol=1e-3)
    np.testing.assert_allclose([norm for _, norm in stored.values()], expected.norms, rtol=1e-4)


def test_a_job_whose_driver_was_killed_goes_on_where_it_was(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str, fingerprint: str
) -> None:
    manifest_id, pack_id, images = many_units(settings, catalog_id, units=UNITS)
    with held_unit(ledger, catalog_id, fingerprint, pack_id):
        with running_driver(settings, catalog_id, fingerprint, manifest_id) as driver:
            wait_for_blocks(ledger, catalog_id, fingerprint, at_least=5, driver=driver)
        before = ledger.blocks.committed(catalog_id=catalog_id, fingerprint=fingerprint)

    summary = run_embed_job(settings, catalog_id=catalog_id, fingerprint=fingerprint, manifests={DT: manifest_id})

    after = ledger.blocks.committed(catalog_id=catalog_id, fingerprint=fingerprint)
    assert 5 <= len(before) < UNITS  # leaving the block killed the driver and its workers in the middle
    assert summary.units <= UNITS - len(before)
    assert len(after) == UNITS
    assert before.items() <= after.items()
    assert stored_vectors(object_store, ledger, catalog_id, fingerprint).keys() == images.keys()


def test_of_racing_jobs_each_unit_keeps_one_block_and_no_other_object(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str, encoder: Encoder
) -> None:
    units = packed_units(settings, catalog_id, images=24, pack_rows=4)
    won: list[EmbeddingUnit] = []

    def race() -> None:
        results = embed_images(
            units,
            object_store=object_store,
            blocks=ledger.blocks,
            encoder=encoder,
            catalog_id=catalog_id,
            batch_size=4,
            threads=2,
        )
        won.extend(unit for unit, block in results if block is not None)

    threads = [threading.Thread(target=race) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    blocks = ledger.blocks.committed(catalog_id=catalog_id, fingerprint=encoder.fingerprint)
    assert sorted(won, key=lambda unit: unit.row_group) == units
    assert {block.key for block in blocks.values()} == set(object_store.list_keys(f"{catalog_id}/embeddings/"))


def test_bytes_that_differ_from_what_was_validated_fail_the_job(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str, fingerprint: str
) -> None:
    delivery = ProfiledDelivery(Catalog(catalog_id=catalog_id))
    for number in range(8):
        delivery.accept(f"item-{number}")
    manifest_id = write_manifest(settings, delivery, pack_rows=4)
    damaged = sorted(row["image_sha256"] for row in delivery.rows)[6]
    pack_id = write_pack(object_store, catalog_id, delivery.rows, pack_rows=4, damaged=damaged)

    with pytest.raises(ObjectCorruptError, match=f"{pack_id}.parquet, row group 1, row 2: .*{damaged}"):
        run_embed_job(settings, catalog_id=catalog_id, fingerprint=fingerprint, manifests={DT: manifest_id})

    assert (pack_id, 1) not in ledger.blocks.committed(catalog_id=catalog_id, fingerprint=fingerprint)


def test_vectors_that_items_bring_are_normalised_and_need_no_encoder(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str
) -> None:
    delivery = ProfiledDelivery(Catalog(catalog_id=catalog_id, space="vectors", dimension=3))
    delivery.accept("a", embedding=[3.0, 0.0, 4.0])
    delivery.accept("b", embedding=[0.0, 0.5, 0.0])
    delivery.accept("same as b", embedding=[0.0, 0.5, 0.0])
    delivery.delete("gone")
    manifest_id = write_manifest(settings, delivery)
    fingerprint = external_fingerprint(catalog_id, 3)

    summary = run_embed_job(settings, catalog_id=catalog_id, fingerprint=fingerprint, manifests={DT: manifest_id})

    stored = stored_vectors(object_store, ledger, catalog_id, fingerprint)
    found = {name: stored[row["embedding_key"]] for row in delivery.rows[:3] for name in [row["item_id"]]}
    assert (summary.blocks, summary.encoder_loads) == (1, 0)
    np.testing.assert_allclose(found["a"][0], [0.6, 0.0, 0.8], atol=1e-3)
    assert found["a"][1] == pytest.approx(5.0)
    assert found["b"] is found["same as b"]
    assert publish_partition(
        settings, catalog_id=catalog_id, dt=DT, manifest_id=manifest_id, fingerprints=[fingerprint]
    )


def test_the_slots_of_one_process_give_the_vectors_of_one_slot(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str, fingerprint: str
) -> None:
    manifest_id, _, _ = many_units(settings, catalog_id, units=6)
    day = {"catalog_id": catalog_id, "fingerprint": fingerprint, "manifests": {DT: manifest_id}}
    stored = {}
    for master in ("local[1]", "local[3]"):
        run_embed_job(settings.model_copy(update={"spark_master": master}), **day)
        stored[master] = stored_vectors(object_store, ledger, catalog_id, fingerprint)
        with ledger.database.transaction() as connection:
            connection.execute(delete(tables.embedding_blocks))

    assert len(stored["local[1]"]) == 12
    for name, (vector, norm) in stored["local[1]"].items():
        other, other_norm = stored["local[3]"][name]
        assert np.array_equal(vector, other) and norm == other_norm


def test_a_unit_that_fails_ends_the_job_and_not_only_its_slot(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str, fingerprint: str
) -> None:
    here = settings.model_copy(update={"spark_in_process_rows": 1_000_000, "spark_master": "local[2]"})
    delivery = ProfiledDelivery(Catalog(catalog_id=catalog_id))
    for number in range(2 * UNITS):
        delivery.accept(f"item-{number}")
    manifest_id = write_manifest(here, delivery, pack_rows=2)
    damaged = min(row["image_sha256"] for row in delivery.rows)
    write_pack(object_store, catalog_id, delivery.rows, pack_rows=2, damaged=damaged)

    with pytest.raises(ObjectCorruptError):
        run_embed_job(here, catalog_id=catalog_id, fingerprint=fingerprint, manifests={DT: manifest_id})

    assert len(ledger.blocks.committed(catalog_id=catalog_id, fingerprint=fingerprint)) < UNITS - 10


def test_where_spark_hands_out_gpus_nothing_is_embedded_without_it(
    settings: Settings, object_store: ObjectStore, catalog_id: str, fingerprint: str
) -> None:
    manifest_id, _, _ = many_units(settings, catalog_id, units=2)
    gpus = {"spark_gpus_per_task": 1.0, "spark_master": "spark://head:7077", "spark_in_process_rows": 1_000_000}

    with without_spark(), pytest.raises(SparkIsNeeded):
        run_embed_job(
            settings.model_copy(update=gpus),
            catalog_id=catalog_id,
            fingerprint=fingerprint,
            manifests={DT: manifest_id},
        )


def test_spaces_never_mix(settings: Settings, object_store: ObjectStore, catalog_id: str) -> None:
    write_manifest(settings, ProfiledDelivery(Catalog(catalog_id=catalog_id)))

    with pytest.raises(SpaceMixError, match="embedded by an encoder"):
        run_embed_job(settings, catalog_id=catalog_id, fingerprint=external_fingerprint(catalog_id, 3))


def test_gpus_by_spark_need_a_cluster(settings: Settings, object_store: ObjectStore, catalog_id: str) -> None:
    delivery = ProfiledDelivery(Catalog(catalog_id=catalog_id))
    delivery.accept("a")
    manifest_id = write_manifest(settings, delivery)
    wanting = settings.model_copy(update={"spark_gpus_per_task": 1.0})

    with pytest.raises(SettingsError, match=r"VITRINE_SPARK_GPUS_PER_TASK=1\.0"):
        run_embed_job(wanting, catalog_id=catalog_id, fingerprint="f", manifests={DT: manifest_id})


def test_a_manifest_that_was_not_approved_is_not_published(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    manifest_id = write_manifest(settings, ProfiledDelivery(Catalog(catalog_id=catalog_id)), approved=False)

    with pytest.raises(GateError, match="is not approved"):
        publish_partition(settings, catalog_id=catalog_id, dt=DT, manifest_id=manifest_id, fingerprints=["f"])


def packed_units(settings: Settings, catalog_id: str, *, images: int, pack_rows: int) -> list[EmbeddingUnit]:
    """Packs pictures and returns their units."""
    delivery = ProfiledDelivery(Catalog(catalog_id=catalog_id))
    for number in range(images):
        delivery.accept(f"item-{number}")
    write_manifest(settings, delivery, pack_rows=pack_rows)
    pack_id = delivery.rows[0]["pack_id"]
    groups = range(-(-images // pack_rows))
    return [EmbeddingUnit(pack_id, group, keys.image_pack(catalog_id, pack_id)) for group in groups]
