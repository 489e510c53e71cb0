"""The profile job, in this process and by Spark: every reason, duplicates, shared packs, the same parts every time."""

from __future__ import annotations

import io
import json
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from spark_jobs.deliveries.recording import record_delivery
from spark_jobs.profiling.job import run_profile_job
from tests.items_files import picture, write_csv, write_images, write_jsonl, write_parquet
from tests.spark_jobs.delivered_folder import DT, candidate_rows, committed_parts, declare, small_delivery
from tests.spark_jobs.denied_images import heads_denied
from vitrine.catalogs import Catalog
from vitrine.contracts.items import candidate_schema
from vitrine.errors import StorageError
from vitrine.identity import sha256_hex
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

pytestmark = pytest.mark.usefixtures("local_spark")


@pytest.fixture
def settings(either_way: Settings) -> Settings:
    """Each test holds for both engines."""
    return either_way


@pytest.fixture
def catalog(catalog_id: str, settings: Settings) -> Catalog:
    """A declared catalog of the encoder's space."""
    return declare(settings, catalog_id)


@pytest.fixture
def profiled(settings: Settings, ledger: Ledger, object_store: ObjectStore) -> Any:
    """Delivers a folder, profiles it, and returns the candidate rows."""

    def profile(
        catalog: Catalog, folder: Path | str, *, dt: str = DT, with_settings: Settings = settings
    ) -> list[dict]:
        delivery_id = record_delivery(with_settings, catalog_id=catalog.catalog_id, dt=dt, source=str(folder))
        run_profile_job(with_settings, catalog_id=catalog.catalog_id, dt=dt, delivery_id=delivery_id)
        return candidate_rows(with_settings, ledger, object_store, catalog, delivery_id)

    return profile


def test_every_row_is_judged_and_every_accepted_image_is_in_a_pack(
    profiled: Any, settings: Settings, object_store: ObjectStore, catalog: Catalog, tmp_path: Path
) -> None:
    sound, shared = picture(1), picture(2, file_format="JPEG")
    write_images(
        tmp_path,
        {
            "sound.png": sound,
            "shared.jpg": shared,
            "copy.jpg": shared,
            "cut.jpg": picture(3, size=(160, 160), file_format="JPEG")[:-900],
            "page.jpg": b"<html></html>",
            "tiny.png": picture(4, size=(8, 8)),
            "banner.png": picture(5, size=(640, 40)),
            "wide.png": picture(6, size=(200, 200)),
            "heavy.png": picture(7) + b"\0" * 30_000,
        },
    )
    rows: list[tuple[Any, str | None]] = [
        ({"item_id": "sound", "image_uri": "sound.png", "price": 5, "fabric": "wool"}, None),
        ({"item_id": "shared", "image_uri": "shared.jpg"}, None),
        ({"item_id": "shared-too", "image_uri": "./copy.jpg"}, None),
        ({"item_id": "gone", "deleted": True}, None),
        ('{"item_id": "broken"', "malformed_row"),
        ({"image_uri": "sound.png"}, "missing_item_id"),
        ({"item_id": "cheap", "image_uri": "sound.png", "price": "cheap"}, "wrong_type"),
        ({"item_id": "twice", "image_uri": "sound.png", "price": 1}, "duplicate_item_id"),
        ({"item_id": "twice", "image_uri": "sound.png", "price": "cheap"}, "wrong_type"),
        ({"item_id": "twice", "image_uri": "sound.png"}, None),
        ({"item_id": "no-uri"}, "missing_image_uri"),
        ({"item_id": "vector", "image_uri": "sound.png", "embedding": [1.0]}, "unexpected_embedding"),
        ({"item_id": "missing", "image_uri": "missing.png"}, "image_missing"),
        ({"item_id": "outside", "image_uri": "../outside.png"}, "image_missing"),
        ({"item_id": "web", "image_uri": "https://shop.example/a.png"}, "image_missing"),
        ({"item_id": "heavy", "image_uri": "heavy.png"}, "image_too_many_bytes"),
        ({"item_id": "wide", "image_uri": "wide.png"}, "image_too_many_pixels"),
        ({"item_id": "cut", "image_uri": "cut.jpg"}, "image_undecodable"),
        ({"item_id": "page", "image_uri": "page.jpg"}, "image_undecodable"),
        ({"item_id": "tiny", "image_uri": "tiny.png"}, "image_too_small"),
        ({"item_id": "banner", "image_uri": "banner.png"}, "image_extreme_aspect"),
    ]
    write_jsonl(tmp_path / "items.jsonl", [row for row, _ in rows])
    limits = settings.model_copy(update={"image_max_bytes": 30_000, "image_max_pixels": 39_999})

    found = profiled(catalog, tmp_path, with_settings=limits)

    assert [row["row_number"] for row in found] == list(range(len(rows)))
    assert [row["reject_reason"] for row in found] == [reason for _, reason in rows]
    assert all((row["reject_reason"] is None) == (row["reject_detail"] is None) for row in found)
    assert found[7]["reject_detail"] == "row 9 has the same item_id and comes later"
    for row, content in ((found[0], sound), (found[1], shared), (found[2], shared), (found[9], sound)):
        key = keys.image_pack(catalog.catalog_id, row["pack_id"])
        assert object_store.get_bytes(key, start=row["image_offset"], length=row["image_size_bytes"]) == content
        assert row["image_sha256"] == row["embedding_key"] == sha256_hex(content)
        assert row["source_id"] == row["pack_id"]
    assert found[3]["deleted"] is True and found[3]["pack_id"] is None
    assert json.loads(found[0]["attributes"]) == {"fabric": "wool"}
    assert all(row["pack_id"] is None for row in found if row["reject_reason"] is not None)


@pytest.mark.parametrize("name", ["items.parquet", "items.csv", "part-1.jsonl"])
def test_each_format_gives_the_same_candidates(
    name: str, profiled: Any, settings: Settings, ledger: Ledger, catalog: Catalog, tmp_path: Path
) -> None:
    rows = [{"item_id": f"i{n}", "image_uri": f"{n}.png", "title": f"Hat {n}", "price": n + 0.5} for n in range(5)]
    write_images(tmp_path, {f"{n}.png": picture(n) for n in range(5)})
    if name == "part-1.jsonl":
        write_jsonl(tmp_path / "part-1.jsonl", rows[:2])
        write_jsonl(tmp_path / "part-2.jsonl", rows[2:])
    else:
        {"items.parquet": write_parquet, "items.csv": write_csv}[name](tmp_path / name, rows)

    found = profiled(catalog, tmp_path)

    assert [(row["row_number"], row["item_id"], row["title"], row["price"]) for row in found] == [
        (n, f"i{n}", f"Hat {n}", n + 0.5) for n in range(5)
    ]
    assert {row["reject_reason"] for row in found} == {None}


def test_parts_have_the_schema_of_the_contract_and_the_hashes_the_ledger_names(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog: Catalog, tmp_path: Path
) -> None:
    delivery_id = record_delivery(settings, catalog_id=catalog.catalog_id, dt=DT, source=str(small_delivery(tmp_path)))

    first = run_profile_job(settings, catalog_id=catalog.catalog_id, dt=DT, delivery_id=delivery_id)
    again = run_profile_job(settings, catalog_id=catalog.catalog_id, dt=DT, delivery_id=delivery_id)

    assert (first.reused, again.reused, again.attempt_id) == (False, True, first.attempt_id)
    (part,) = committed_parts(settings, ledger, catalog, delivery_id)
    data = object_store.get_bytes(part["key"])
    assert (sha256_hex(data), part["rows"]) == (part["sha256"], 6)
    assert pq.read_schema(io.BytesIO(data)).equals(candidate_schema())


def test_profiling_again_after_the_ledger_was_lost_gives_the_same_parts(
    settings: Settings, ledger: Ledger, catalog: Catalog, tmp_path: Path
) -> None:
    from sqlalchemy import delete

    from vitrine.ledger import tables

    delivery_id = record_delivery(
        settings, catalog_id=catalog.catalog_id, dt=DT, source=str(small_delivery(tmp_path, items=9))
    )
    run_profile_job(settings, catalog_id=catalog.catalog_id, dt=DT, delivery_id=delivery_id)
    first = [part["sha256"] for part in committed_parts(settings, ledger, catalog, delivery_id)]
    with ledger.database.transaction() as connection:
        table = tables.committed_attempts
        connection.execute(delete(table).where(table.c.key.startswith(f"{catalog.catalog_id}/")))
    shifted = settings.model_copy(update={"spark_partitions": 3})

    run_profile_job(shifted, catalog_id=catalog.catalog_id, dt=DT, delivery_id=delivery_id)

    assert [part["sha256"] for part in committed_parts(settings, ledger, catalog, delivery_id)] == first


def test_an_image_that_was_packed_once_is_found_again_though_it_has_left_the_head(
    profiled: Any, object_store: ObjectStore, catalog: Catalog, tmp_path: Path
) -> None:
    first = profiled(catalog, small_delivery(tmp_path / "one", items=3))
    profiled(catalog, small_delivery(tmp_path / "replaced", items=2, first_seed=50))
    packs = list(object_store.list_keys(f"{catalog.catalog_id}/images/"))

    back = profiled(catalog, small_delivery(tmp_path / "back", items=4), dt="2026-11-02")

    places = ("image_sha256", "pack_id", "image_offset", "source_id", "row_group")
    assert [[row[name] for name in places] for row in back[:3]] == [[row[name] for name in places] for row in first]
    new = set(object_store.list_keys(f"{catalog.catalog_id}/images/")) - set(packs)
    assert new == {keys.image_pack(catalog.catalog_id, back[3]["pack_id"])}


def test_a_profile_lists_what_it_packed_and_no_image_twice(
    profiled: Any, object_store: ObjectStore, catalog: Catalog, tmp_path: Path
) -> None:
    profiled(catalog, small_delivery(tmp_path / "one", items=3))
    found = profiled(catalog, small_delivery(tmp_path / "two", items=5), dt="2026-11-02")

    listed = [
        row
        for key in object_store.list_keys(f"{catalog.catalog_id}/pack_listings/")
        for row in pq.read_table(io.BytesIO(object_store.get_bytes(key))).to_pylist()
    ]

    places = ("image_sha256", "pack_id", "image_offset", "row_group")
    assert sorted(listed, key=itemgetter("image_sha256")) == sorted(
        ({name: row[name] for name in places} for row in found), key=itemgetter("image_sha256")
    )


def test_the_last_sound_row_of_an_id_counts_whatever_is_broken_after_it(
    profiled: Any, catalog: Catalog, tmp_path: Path
) -> None:
    write_images(tmp_path, {"sound.png": picture(1), "cut.jpg": picture(2, size=(160, 160), file_format="JPEG")[:-900]})
    hat, bag, cap, tie = ({"item_id": name, "image_uri": "sound.png"} for name in ("hat", "bag", "cap", "tie"))
    rows: list[tuple[dict[str, Any], str | None]] = [
        (hat | {"price": 5}, "duplicate_item_id"),
        (hat | {"price": 6}, None),
        (hat | {"image_uri": "missing.png"}, "image_missing"),
        (hat | {"image_uri": "cut.jpg"}, "image_undecodable"),
        (bag, None),
        (bag | {"price": "cheap"}, "wrong_type"),
        (bag | {"image_uri": ""}, "missing_image_uri"),
        (cap, "duplicate_item_id"),
        ({"item_id": "cap", "deleted": True}, None),
        (cap | {"image_uri": "../cap.png"}, "image_missing"),
        (tie | {"image_uri": "missing.png"}, "image_missing"),
        (tie | {"image_uri": "cut.jpg"}, "image_undecodable"),
    ]
    write_jsonl(tmp_path / "items.jsonl", [row for row, _ in rows])

    found = profiled(catalog, tmp_path)

    assert [row["reject_reason"] for row in found] == [reason for _, reason in rows]
    assert found[0]["reject_detail"] == "row 1 has the same item_id and comes later"
    assert [(row["item_id"], row["price"], row["deleted"]) for row in found if row["reject_reason"] is None] == [
        ("hat", 6.0, False),
        ("bag", None, False),
        ("cap", None, True),
    ]


def test_an_image_that_is_not_copied_is_taken_as_it_was_recorded_or_not_at_all(
    profiled: Any, settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog_id: str, tmp_path: Path
) -> None:
    other = object_store.with_bucket(f"{object_store.bucket}-shop")
    other.ensure_bucket()
    catalog = declare(settings, catalog_id, image_buckets=(other.bucket,))
    names = ("same", "changed", "gone", "came")
    uris = [*(f"images/{name}.png" for name in names), *(f"s3://{other.bucket}/{name}.png" for name in names)]
    for number, name in enumerate(names[:3]):
        object_store.put_bytes(f"day/images/{name}.png", picture(number))
        other.put_bytes(f"{name}.png", picture(10 + number))
    write_jsonl(tmp_path / "items.jsonl", [{"item_id": uri, "image_uri": uri} for uri in uris])
    object_store.put_file("day/items.jsonl", tmp_path / "items.jsonl")
    source = f"s3://{object_store.bucket}/day"
    delivery_id = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=source)
    for store, folder in ((object_store, "day/images/"), (other, "")):
        store.put_bytes(f"{folder}changed.png", picture(77))
        store.delete(f"{folder}gone.png")
        store.put_bytes(f"{folder}came.png", picture(78))

    run_profile_job(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)
    found = candidate_rows(settings, ledger, object_store, catalog, delivery_id)
    again = profiled(catalog, source)

    assert [row["reject_reason"] for row in found] == [None, "image_changed", "image_missing", "image_missing"] * 2
    assert "is not the object that was recorded" in found[1]["reject_detail"]
    assert [row["image_sha256"] for row in found if row["image_sha256"]] == [
        sha256_hex(picture(0)),
        sha256_hex(picture(10)),
    ]
    assert [row["reject_reason"] for row in again] == [None, None, "image_missing", None] * 2


def test_an_image_whose_access_is_granted_after_the_recording_is_another_delivery(
    profiled: Any, settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog_id: str, tmp_path: Path
) -> None:
    other = object_store.with_bucket(f"{object_store.bucket}-shop")
    other.ensure_bucket()
    catalog = declare(settings, catalog_id, image_buckets=(other.bucket,))
    names = ("open.png", "denied.png")
    for number, name in enumerate(names):
        other.put_bytes(name, picture(number))
    rows = [{"item_id": name, "image_uri": f"s3://{other.bucket}/{name}"} for name in names]
    write_jsonl(tmp_path / "items.jsonl", rows)
    day = {"catalog_id": catalog_id, "dt": DT}
    with heads_denied("denied.png"):
        delivery_id = record_delivery(settings, **day, source=str(tmp_path))

    run_profile_job(settings, **day, delivery_id=delivery_id)
    found = candidate_rows(settings, ledger, object_store, catalog, delivery_id)
    again = profiled(catalog, tmp_path)

    assert [row["reject_reason"] for row in found] == [None, "image_missing"]
    assert found[1]["reject_detail"] == (
        f"s3://{other.bucket}/denied.png: could not be read when the delivery was recorded: let the platform read it; "
        "deliver the day again"
    )
    assert [row["reject_reason"] for row in again] == [None, None]
    assert ledger.partitions.current_delivery(**day).delivery_id != delivery_id


def test_a_catalog_of_vectors_names_each_vector_by_its_bytes(
    profiled: Any, settings: Settings, catalog_id: str, tmp_path: Path
) -> None:
    catalog = declare(settings, catalog_id, space="vectors", dimension=3)
    write_images(tmp_path, {"a.png": picture(1), "b.png": picture(2)})
    vectors: list[Any] = [[1, 0, 0.5], [1, 0], None, [0, 0, 0], [float("nan"), 1, 1], [0, 1, 0]]
    rows = [
        {"item_id": f"i{n}", "image_uri": "ab"[n % 2] + ".png", "embedding": vector} for n, vector in enumerate(vectors)
    ]
    write_jsonl(tmp_path / "items.jsonl", rows)

    found = profiled(catalog, tmp_path)

    reasons = [None, "embedding_dimension", "missing_embedding", "embedding_zero", "embedding_not_finite", None]
    assert [row["reject_reason"] for row in found] == reasons
    first, last = found[0], found[5]
    assert first["embedding_key"] == sha256_hex(np.asarray([1, 0, 0.5], "<f4").tobytes())
    assert first["source_id"] == last["source_id"] != first["pack_id"]
    assert (first["row_group"], last["row_group"]) == (0, 0)
    assert first["pack_id"] is not None


def test_images_of_another_bucket_are_read_where_they_lie_when_the_catalog_lists_it(
    profiled: Any, settings: Settings, object_store: ObjectStore, catalog_id: str, tmp_path: Path
) -> None:
    catalog = declare(settings, catalog_id, image_buckets=(f"{object_store.bucket}-shop/pictures",))
    other = object_store.with_bucket(f"{object_store.bucket}-shop")
    other.ensure_bucket()
    other.put_bytes("pictures/a.png", picture(1))
    other.put_bytes("invoices/a.png", picture(3))
    object_store.put_bytes("day/images/b.png", picture(2))
    object_store.put_bytes("other-catalog/images/b.png", picture(4))
    rows = [
        {"item_id": "a", "image_uri": f"s3://{other.bucket}/pictures/a.png"},
        {"item_id": "b", "image_uri": "images/b.png"},
        {"item_id": "c", "image_uri": f"s3://{other.bucket}/invoices/a.png"},
        {"item_id": "d", "image_uri": f"s3://{object_store.bucket}/other-catalog/images/b.png"},
    ]
    write_jsonl(tmp_path / "items.jsonl", rows)
    object_store.put_file("day/items.jsonl", tmp_path / "items.jsonl")

    found = profiled(catalog, f"s3://{object_store.bucket}/day")

    assert [row["reject_reason"] for row in found] == [None, None, "image_not_allowed", "image_not_allowed"]
    assert [row["image_sha256"] for row in found[2:]] == [None, None]
    assert found[1]["image_uri"] == f"s3://{object_store.bucket}/day/images/b.png"


def test_an_outage_fails_the_job_and_commits_nothing(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog: Catalog, tmp_path: Path
) -> None:
    from spark_jobs.profiling import job as profiling

    delivery_id = record_delivery(settings, catalog_id=catalog.catalog_id, dt=DT, source=str(small_delivery(tmp_path)))
    away = settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9", "s3_timeout_s": 0.2})
    delivery = profiling.read_delivery(object_store, catalog_id=catalog.catalog_id, dt=DT, delivery_id=delivery_id)
    policy = profiling.IngestPolicy.of(catalog, settings)

    # The driver still reaches the store; the workers do not.
    with pytest.raises(StorageError, match="cannot reach the object store"):
        profiling._profile(away, object_store, ledger, delivery, policy=policy, attempt="outage")

    with pytest.raises(LookupError):
        committed_parts(settings, ledger, catalog, delivery_id)


def test_an_empty_delivery_has_an_empty_profile(
    settings: Settings, ledger: Ledger, catalog: Catalog, tmp_path: Path
) -> None:
    for name in ("items.jsonl", "items.csv"):
        folder = tmp_path / name.partition(".")[2]
        folder.mkdir()
        (folder / name).write_text("" if name == "items.jsonl" else "item_id,image_uri\n")
        delivery_id = record_delivery(settings, catalog_id=catalog.catalog_id, dt=DT, source=str(folder))

        profile = run_profile_job(settings, catalog_id=catalog.catalog_id, dt=DT, delivery_id=delivery_id)

        assert (profile.rows, committed_parts(settings, ledger, catalog, delivery_id)) == (0, [])


def test_a_profile_leaves_a_shared_session_as_it_was(settings: Settings, catalog: Catalog, tmp_path: Path) -> None:
    from pyspark.sql import SparkSession

    spark = SparkSession.getActiveSession()
    assert spark is not None
    others = spark.range(10).persist()
    others.count()
    kept = spark.sparkContext._jsc.getPersistentRDDs().size()
    delivery_id = record_delivery(settings, catalog_id=catalog.catalog_id, dt=DT, source=str(small_delivery(tmp_path)))

    run_profile_job(settings, catalog_id=catalog.catalog_id, dt=DT, delivery_id=delivery_id)

    assert others.storageLevel.useMemory
    assert spark.sparkContext._jsc.getPersistentRDDs().size() == kept == 1
