"""A profile is the same to the byte, whichever engine ran it, and the number of rows decides which one does."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from spark_jobs.__main__ import run_without_spark
from spark_jobs.deliveries.recording import record_delivery
from spark_jobs.profiling.job import run_profile_job
from spark_runtime.configuration import in_process_rows, local_threads
from spark_runtime.session import SparkIsNeeded, without_spark
from tests.items_files import picture, write_csv, write_images, write_jsonl, write_parquet
from tests.spark_jobs.delivered_folder import DT, committed_parts, declare, small_delivery
from vitrine.catalogs import Catalog
from vitrine.ledger import Ledger, tables
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

ROWS = 700  # several batches of Spark


def shop_rows() -> list[dict[str, Any]]:
    """Sound, broken, repeated and deleted rows, in no order."""
    rng = random.Random(5)
    rows: list[dict[str, Any]] = []
    for number in range(ROWS):
        row: dict[str, Any] = {
            "item_id": f"i{rng.randrange(ROWS - 60)}",
            "image_uri": f"{rng.randrange(40)}.png",
            "title": f"ä hat {number}" * rng.randrange(3),
            "price": rng.choice([None, 5, 7.5, "cheap" if number % 50 == 0 else 8]),
            "fabric": rng.choice(["wool", "felt"]),
        }
        if number % 23 == 0:
            row = {"item_id": row["item_id"], "deleted": True}
        rows.append(row)
    return rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A delivery of three files."""
    day, rows = tmp_path / "day", shop_rows()
    write_images(day, {f"{number}.png": picture(number) for number in range(37)})  # 38 and 39 are missing
    write_images(day, {"37.png": b"<html></html>"})
    write_jsonl(day / "part-1.jsonl", rows[:300])
    write_jsonl(day / "part-2.jsonl", rows[300:])
    write_jsonl(day / "part-3.jsonl", ['{"item_id": "last", "image_uri": "1.png"}', "{"])
    return day


@pytest.mark.parametrize("space", ["encoder", "vectors"])
def test_both_engines_write_the_same_bytes(
    space: str,
    settings: Settings,
    ledger: Ledger,
    object_store: ObjectStore,
    catalog_id: str,
    folder: Path,
    local_spark: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spark_jobs.profiling.plan.PART_ROWS", 300)
    monkeypatch.setattr("spark_jobs.profiling.plan.PART_VECTOR_BYTES", 1)
    catalog = declare(settings, catalog_id, space=space, dimension=2 if space == "vectors" else None)
    if space == "vectors":
        rows = [row | {"embedding": [1.0, n]} for n, row in enumerate(2 * shop_rows())]
        write_jsonl(folder / "part-1.jsonl", rows)
    later = folder.parent / "later"  # some pictures are known by then, and some are used where they lie
    write_jsonl(later / "items.jsonl", [{"item_id": f"l{n}", "image_uri": f"images/{n}.png"} for n in range(20, 50)])
    for number in range(20, 50):
        object_store.put_bytes(f"later/images/{number}.png", picture(number))
    object_store.put_file("later/items.jsonl", later / "items.jsonl")
    sources = {DT: str(folder), "2026-11-02": f"s3://{object_store.bucket}/later"}
    deliveries = {
        dt: record_delivery(settings, catalog_id=catalog_id, dt=dt, source=source) for dt, source in sources.items()
    }
    written = {}
    for rows_here in (0, 5_000):
        chosen = settings.model_copy(update={"spark_in_process_rows": rows_here, "pack_rows": 8})
        parts = []
        for dt, delivery_id in deliveries.items():
            run_profile_job(chosen, catalog_id=catalog_id, dt=dt, delivery_id=delivery_id)
            parts.append([part["sha256"] for part in committed_parts(chosen, ledger, catalog, delivery_id)])
        packs = {key: object_store.get_bytes(key) for key in object_store.list_keys(f"{catalog_id}/images/")}
        listed = list(object_store.list_keys(f"{catalog_id}/pack_listings/"))
        written[rows_here] = (parts, packs, {key.rpartition("/")[2] for key in listed})
        for key in (*packs, *listed):
            object_store.delete(key)
        with ledger.database.transaction() as connection:  # the next engine begins from nothing
            table = tables.committed_attempts
            connection.execute(delete(table).where(table.c.scope.in_(["profile", "pack_index"])))

    parts, packs, _ = written[0]
    assert len(parts[0]) > 1 and len(packs) > 1
    assert written[0] == written[5_000]


def test_few_rows_that_are_long_go_to_spark_all_the_same(
    settings: Settings, catalog_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark_jobs.profiling.tables.MAX_BYTES", 100_000)
    declare(settings, catalog_id)
    rows = [{"item_id": f"i{n}", "image_uri": "a.png", "description": "long " * 4_000} for n in range(20)]
    write_parquet(tmp_path / "items.parquet", rows)
    write_images(tmp_path, {"a.png": picture(1)})
    delivery_id = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(tmp_path))

    with without_spark(), pytest.raises(SparkIsNeeded):
        run_profile_job(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)


def test_a_delivery_of_more_rows_than_the_limit_needs_spark_and_is_untouched_without_it(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog_id: str, tmp_path: Path
) -> None:
    catalog = declare(settings, catalog_id)
    small = settings.model_copy(update={"spark_in_process_rows": 5})
    delivery_id = record_delivery(small, catalog_id=catalog_id, dt=DT, source=str(small_delivery(tmp_path, items=6)))
    command = ["profile", "--catalog", catalog_id, "--dt", DT, "--delivery-id", delivery_id]
    before = list(object_store.list_keys(f"{catalog_id}/"))

    assert not run_without_spark(small, command)
    assert list(object_store.list_keys(f"{catalog_id}/")) == before
    with pytest.raises(LookupError):
        committed_parts(small, ledger, catalog, delivery_id)

    assert run_without_spark(small.model_copy(update={"spark_in_process_rows": 6}), command)
    assert run_without_spark(small, command)  # what is committed is done, whatever the limit
    (part,) = committed_parts(small, ledger, catalog, delivery_id)
    assert part["rows"] == 6


@pytest.mark.parametrize("write", [write_jsonl, write_csv, write_parquet])
def test_the_rows_of_each_format_are_counted_as_far_as_the_limit(
    write: Any, settings: Settings, catalog_id: str, tmp_path: Path
) -> None:
    declare(settings, catalog_id)
    name = {write_jsonl: "items.jsonl", write_csv: "items.csv", write_parquet: "items.parquet"}[write]
    write(tmp_path / name, [{"item_id": f"i{n}", "image_uri": f"{n}.png"} for n in range(40)])
    delivery_id = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(tmp_path))

    for rows, few in ((39, False), (40, True)):
        limited = settings.model_copy(update={"spark_in_process_rows": rows})
        with without_spark():
            if few:
                run_profile_job(limited, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)
            else:
                with pytest.raises(SparkIsNeeded):
                    run_profile_job(limited, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)


def test_a_cluster_gets_every_row_unless_the_settings_say_otherwise() -> None:
    def chosen(**values: Any) -> int:
        return in_process_rows(Settings(**values))

    assert chosen(spark_master="local[2]") == chosen(spark_master="local[4]") == 20_000
    assert chosen(spark_master="local[5]") == 5_000
    assert chosen(spark_master="spark://host:7077") == chosen(spark_master="local-cluster[2,1,1024]") == 0
    assert chosen(spark_master="yarn", spark_in_process_rows=7) == 7
    assert chosen(spark_in_process_rows=0) == 0
    assert local_threads(Settings(spark_master="local[3]")) == 3
    assert local_threads(Settings(spark_master="local")) == 1
    assert local_threads(Settings(spark_master="local[*]")) >= 1


def test_a_catalog_without_any_row_needs_no_spark(settings: Settings, catalog_id: str, tmp_path: Path) -> None:
    catalog: Catalog = declare(settings, catalog_id)
    (tmp_path / "items.csv").write_text("item_id,image_uri\n")
    nothing = settings.model_copy(update={"spark_in_process_rows": 1})
    delivery_id = record_delivery(nothing, catalog_id=catalog.catalog_id, dt=DT, source=str(tmp_path))

    with without_spark():
        profile = run_profile_job(nothing, catalog_id=catalog.catalog_id, dt=DT, delivery_id=delivery_id)

    assert profile.rows == 0
