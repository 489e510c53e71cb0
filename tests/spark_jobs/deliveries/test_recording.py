"""Deliveries: copied as delivered, named by their content, and redone from the copy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spark_jobs.deliveries.recording import read_delivery, record_delivery
from spark_jobs.deliveries.source_inspection import inspect_source
from tests.items_files import picture, write_csv, write_images, write_jsonl, write_parquet
from tests.spark_jobs.delivered_folder import DT, declare, small_delivery
from vitrine.errors import CatalogError, DeliveryError, ObjectChangedError
from vitrine.identity import content_id, sha256_hex
from vitrine.items.sources import open_source
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys


@pytest.fixture
def catalog_id(catalog_id: str, settings: Settings) -> str:
    """A declared catalog."""
    declare(settings, catalog_id)
    return catalog_id


def test_a_folder_is_copied_with_the_images_its_items_name(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str, tmp_path: Path
) -> None:
    folder = small_delivery(tmp_path / "day", items=2)
    write_images(folder, {"images/unused.png": picture(9)})

    delivery_id = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(folder))

    prefix = keys.delivery_prefix(catalog_id, DT, delivery_id)
    found = {key.removeprefix(prefix) for key in object_store.list_keys(prefix)}
    assert found == {
        "/delivery.json",
        "/provenance.json",
        "/items/items.jsonl",
        "/images/images/0.png",
        "/images/images/1.png",
    }
    delivery = read_delivery(object_store, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)
    assert delivery.images_base == f"s3://{object_store.bucket}/{prefix}/images/"
    assert delivery.full is False
    assert ledger.partitions.current_delivery(catalog_id=catalog_id, dt=DT).delivery_id == delivery_id


def test_the_id_hashes_catalog_day_files_and_images(
    settings: Settings, object_store: ObjectStore, catalog_id: str, tmp_path: Path
) -> None:
    folder = small_delivery(tmp_path / "day", items=1)
    items, image = (folder / "items.jsonl").read_bytes(), (folder / "images/0.png").read_bytes()

    delivery_id = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(folder))

    assert delivery_id == content_id(
        "delivery",
        {
            "catalog_id": catalog_id,
            "dt": DT,
            "full": False,
            "files": [{"name": "items.jsonl", "size_bytes": len(items), "sha256": sha256_hex(items)}],
            "images": sha256_hex(f"images/0.png\0{sha256_hex(image)}\n".encode()),
        },
    )


def test_the_same_content_is_the_same_delivery_and_is_not_written_again(
    settings: Settings, object_store: ObjectStore, catalog_id: str, tmp_path: Path
) -> None:
    first = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(small_delivery(tmp_path / "one")))
    prefix = keys.delivery_prefix(catalog_id, DT, first)
    object_store.delete(f"{prefix}/provenance.json")

    again = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(small_delivery(tmp_path / "two")))

    assert again == first
    assert not object_store.exists(f"{prefix}/provenance.json")


def test_another_picture_under_the_same_name_is_another_delivery(
    settings: Settings, catalog_id: str, tmp_path: Path
) -> None:
    folder = small_delivery(tmp_path / "day")
    first = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(folder))
    write_images(folder, {"images/0.png": picture(77)})

    second = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(folder))

    assert second != first


def test_redoing_a_day_takes_the_recorded_delivery_and_not_the_source(
    settings: Settings, catalog_id: str, tmp_path: Path
) -> None:
    folder = small_delivery(tmp_path / "day")
    recorded = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(folder))
    (folder / "items.jsonl").write_text("")

    assert record_delivery(settings, catalog_id=catalog_id, dt=DT) == recorded


def test_a_day_without_a_delivery_takes_the_declared_source(settings: Settings, tmp_path: Path) -> None:
    declare(settings, "declared", source=f"{tmp_path}/{{dt}}")
    folder = small_delivery(tmp_path / DT)

    by_declaration = record_delivery(settings, catalog_id="declared", dt=DT)

    assert by_declaration == record_delivery(settings, catalog_id="declared", dt=DT, source=str(folder))


def test_a_day_with_neither_is_refused(settings: Settings, catalog_id: str) -> None:
    with pytest.raises(DeliveryError, match="none was recorded, and the catalog declares no `source`"):
        record_delivery(settings, catalog_id=catalog_id, dt=DT)


def test_an_undeclared_catalog_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="is not declared"):
        record_delivery(settings, catalog_id="nobody", dt=DT, source=str(tmp_path))


@pytest.mark.parametrize(
    ("sidecar", "asked", "full"),
    [
        ({}, None, False),
        ({"_full": ""}, None, True),
        ({"delivery.yaml": "full: true"}, None, True),
        ({"delivery.yaml": "full: true"}, False, False),
        ({}, True, True),
    ],
)
def test_a_delivery_is_full_when_asked_or_when_its_source_says_so(
    sidecar: dict[str, str],
    asked: bool | None,
    full: bool,
    settings: Settings,
    object_store: ObjectStore,
    catalog_id: str,
    tmp_path: Path,
) -> None:
    folder = small_delivery(tmp_path / "day", items=1)
    for name, text in sidecar.items():
        (folder / name).write_text(text)

    delivery_id = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(folder), full=asked)

    assert read_delivery(object_store, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id).full is full


def test_full_without_a_source_never_changes_a_recorded_delivery(
    settings: Settings, catalog_id: str, tmp_path: Path
) -> None:
    record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(small_delivery(tmp_path / "day", items=1)))

    with pytest.raises(DeliveryError, match="name the source again"):
        record_delivery(settings, catalog_id=catalog_id, dt=DT, full=True)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "found none"),
        (["items.csv", "items.jsonl"], "ambiguous"),
        (["items.csv", "part-1.csv"], "ambiguous"),
        (["part-1.csv", "part-2.jsonl"], "ambiguous"),
        (["products.csv"], "found none"),
    ],
)
def test_a_source_without_one_clear_set_of_items_files_is_refused(
    names: list[str], says: str, settings: Settings, object_store: ObjectStore, catalog_id: str, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).write_text("item_id\na\n")
        object_store.put_bytes(f"prefix/{name}", b"item_id\na\n")

    for source in (str(tmp_path), f"s3://{object_store.bucket}/prefix"):
        with pytest.raises(DeliveryError, match=says):
            record_delivery(settings, catalog_id=catalog_id, dt=DT, source=source)


def test_an_items_file_whose_name_is_none_in_the_store_is_refused(
    settings: Settings, catalog_id: str, tmp_path: Path
) -> None:
    (tmp_path / "items-a\\b.csv").write_text("item_id\na\n")

    with pytest.raises(DeliveryError, match=r"expected the name of a file below a folder.*; rename it"):
        record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(tmp_path))


@pytest.mark.parametrize(
    "source", ["/no/such/folder", "https://shop.example/items.csv", "s3://no-such-bucket-at-all/x"]
)
def test_a_source_that_is_nowhere_is_refused(source: str, settings: Settings, catalog_id: str) -> None:
    with pytest.raises(DeliveryError):
        record_delivery(settings, catalog_id=catalog_id, dt=DT, source=source)


def test_parts_are_read_in_order_of_their_names(
    settings: Settings, object_store: ObjectStore, catalog_id: str, tmp_path: Path
) -> None:
    (tmp_path / "items").mkdir()
    for name in ("b.csv", "a.csv", "c.csv.gz"):
        (tmp_path / "items" / name).write_bytes(b"item_id,image_uri\n")

    delivery_id = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(tmp_path))

    delivery = read_delivery(object_store, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)
    assert [file.name for file in delivery.files] == ["a.csv", "b.csv", "c.csv.gz"]


def test_nothing_outside_the_folder_is_copied(
    settings: Settings, object_store: ObjectStore, catalog_id: str, tmp_path: Path
) -> None:
    folder = tmp_path / "day"
    write_images(tmp_path, {"secret.png": picture(1), "day/own.png": picture(2)})
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    uris = [
        "../secret.png",
        str(tmp_path / "secret.png"),
        "link.png",
        "own.png",
        "a/../../secret.png",
        "x" * 300,
        "a\0b",
    ]
    write_jsonl(folder / "items.jsonl", [{"item_id": str(n), "image_uri": uri} for n, uri in enumerate(uris)])

    delivery_id = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(folder))

    prefix = f"{keys.delivery_prefix(catalog_id, DT, delivery_id)}/images/"
    assert [key.removeprefix(prefix) for key in object_store.list_keys(prefix)] == ["own.png"]


def test_images_under_a_prefix_stay_where_they_lie(
    settings: Settings, object_store: ObjectStore, catalog_id: str, tmp_path: Path
) -> None:
    write_parquet(tmp_path / "items.parquet", [{"item_id": "a", "image_uri": "images/a.png"}])
    object_store.put_file("shop/items.parquet", tmp_path / "items.parquet")
    object_store.put_bytes("shop/images/a.png", picture(1))

    delivery_id = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=f"s3://{object_store.bucket}/shop")

    delivery = read_delivery(object_store, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)
    assert delivery.images_base == f"s3://{object_store.bucket}/shop/"
    prefix = keys.delivery_prefix(catalog_id, DT, delivery_id)
    assert object_store.get_bytes(f"{prefix}/items/items.parquet") == (tmp_path / "items.parquet").read_bytes()
    assert list(object_store.list_keys(f"{prefix}/images")) == []


def test_a_mended_image_under_a_prefix_is_another_delivery(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    source = _delivered_prefix(object_store, ["images/a.png", "b.png", f"s3://{object_store.bucket}/shop/c.png"])
    names = ("images/a.png", "b.png", "c.png")
    found = [record_delivery(settings, catalog_id=catalog_id, dt=DT, source=source)]

    for number, name in enumerate(names):
        object_store.put_bytes(f"shop/{name}", picture(100 + number))
        found.append(record_delivery(settings, catalog_id=catalog_id, dt=DT, source=source))

    assert len(set(found)) == 4


def test_the_same_prefix_is_the_same_delivery_whatever_else_lies_in_it(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    source = _delivered_prefix(object_store, ["images/a.png", "images/missing.png", "\ud800.png", "https://x/y.png"])
    first = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=source)
    object_store.put_bytes("shop/images/log.txt", b"unused")
    object_store.put_bytes("shop/images/a.png", object_store.get_bytes("shop/images/a.png"))

    again = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=source)
    redone = record_delivery(settings, catalog_id=catalog_id, dt=DT)

    assert first == again == redone


def test_an_image_under_a_prefix_that_was_missing_and_came_is_another_delivery(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    source = _delivered_prefix(object_store, ["images/a.png"])
    object_store.delete("shop/images/a.png")
    first = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=source)
    object_store.put_bytes("shop/images/a.png", picture(1))

    assert record_delivery(settings, catalog_id=catalog_id, dt=DT, source=source) != first


def test_redoing_a_mended_prefix_takes_the_recorded_delivery(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    source = _delivered_prefix(object_store, ["images/a.png"])
    recorded = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=source)
    object_store.put_bytes("shop/images/a.png", picture(100))

    assert record_delivery(settings, catalog_id=catalog_id, dt=DT) == recorded


@pytest.mark.parametrize("in_a_folder", [True, False])
def test_an_image_elsewhere_that_is_mended_is_another_delivery(
    in_a_folder: bool, settings: Settings, object_store: ObjectStore, catalog_id: str, tmp_path: Path
) -> None:
    other = object_store.with_bucket(f"{object_store.bucket}-shop")
    other.ensure_bucket()
    settings.catalogs_file.unlink()
    declare(settings, catalog_id, image_buckets=(other.bucket,))
    other.put_bytes("a.png", picture(1))
    uris = [f"s3://{other.bucket}/a.png", f"s3://{other.bucket}/none.png", "s3://not-ours/b.png", "x.png"]
    write_jsonl(tmp_path / "items.jsonl", [{"item_id": uri, "image_uri": uri} for uri in uris])
    object_store.put_file("shop/items.jsonl", tmp_path / "items.jsonl")
    source = str(tmp_path) if in_a_folder else f"s3://{object_store.bucket}/shop"

    found = [record_delivery(settings, catalog_id=catalog_id, dt=DT, source=source) for _ in range(2)]
    for name in ("a.png", "none.png"):
        other.put_bytes(name, picture(5))
        found.append(record_delivery(settings, catalog_id=catalog_id, dt=DT, source=source))

    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_items_that_change_while_they_are_read_are_not_recorded(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    source = _delivered_prefix(object_store, ["images/a.png"])
    opened = open_source(source, object_store)
    object_store.put_bytes("shop/items.jsonl", b"{}")

    with pytest.raises(ObjectChangedError, match="it was overwritten"):
        opened.files[0].content.read(0, 10)


def test_a_delivery_at_the_root_of_the_platforms_bucket_is_refused(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    object_store.put_bytes("items.csv", b"item_id,image_uri\n")

    with pytest.raises(DeliveryError, match="below which every catalog lies"):
        record_delivery(settings, catalog_id=catalog_id, dt=DT, source=f"s3://{object_store.bucket}/items.csv")


@pytest.mark.parametrize("name", ["items.csv", "items.parquet"])
def test_more_rows_than_a_delivery_may_have_are_refused(
    name: str, settings: Settings, catalog_id: str, tmp_path: Path
) -> None:
    rows = [{"item_id": str(number), "image_uri": "x.png"} for number in range(5)]
    {"items.csv": write_csv, "items.parquet": write_parquet}[name](tmp_path / name, rows)
    few = settings.model_copy(update={"items_max_rows": 4})

    with pytest.raises(DeliveryError, match="expected at most 4 rows in the delivery"):
        record_delivery(few, catalog_id=catalog_id, dt=DT, source=str(tmp_path))
    assert record_delivery(
        settings.model_copy(update={"items_max_rows": 5}), catalog_id=catalog_id, dt=DT, source=str(tmp_path)
    )


def _delivered_prefix(store: ObjectStore, uris: list[str]) -> str:
    """Puts a delivery with an image for each URI under a prefix of the bucket."""
    rows = [{"item_id": str(number), "image_uri": uri} for number, uri in enumerate(uris)]
    store.put_bytes("shop/items.jsonl", b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    for number, uri in enumerate(uris):
        path = uri.removeprefix(f"s3://{store.bucket}/shop/")
        if path.isascii() and ":" not in path and "missing" not in path:
            store.put_bytes(f"shop/{path}", picture(number))
    return f"s3://{store.bucket}/shop"


def test_a_source_is_inspected_for_embeddings(settings: Settings, tmp_path: Path) -> None:
    write_csv(
        tmp_path / "items.csv",
        [{"item_id": str(n), "image_uri": "x.jpg", "embedding": json.dumps([0.5] * 4)} for n in range(3)],
    )

    summary = inspect_source(settings, str(tmp_path))

    assert (summary.embedding, summary.dimension, summary.format) == (True, 4, "csv")


def test_a_source_without_embeddings_has_no_dimension(settings: Settings, tmp_path: Path) -> None:
    summary = inspect_source(settings, str(small_delivery(tmp_path)))

    assert (summary.embedding, summary.dimension) == (False, None)
