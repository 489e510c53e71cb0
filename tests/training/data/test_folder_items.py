"""A folder is read for training by the rules of ingest: which files, which rows, and which of an item's rows counts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.items_files import picture, write_csv, write_images, write_jsonl, write_parquet
from training.data.folder_items import read_head, text
from training.data.folder_samples import read_folder_samples
from training.evaluate.catalogs.catalog import read_evaluation_catalog
from vitrine.errors import ContractError, DeliveryError
from vitrine.settings import Settings


def found(folder: Path) -> dict[str, str | None]:
    """The head's items with their titles."""
    return {row["item_id"]: text(row, "title") for row, _ in read_head(folder, Settings())[0]}


def rows(*names: str, title: str = "t") -> list[dict[str, Any]]:
    return [{"item_id": name, "image_uri": "a.png", "title": title} for name in names]


@pytest.mark.parametrize("name", ["items.jsonl.gz", "items.csv.gz", "part-1.jsonl", "items-1.csv", "items/x.parquet"])
def test_the_shapes_that_ingest_reads_are_read(name: str, tmp_path: Path) -> None:
    write_images(tmp_path, {"a.png": b"picture"})
    path = tmp_path / name.removesuffix(".gz")
    path.parent.mkdir(exist_ok=True)
    {".jsonl": write_jsonl, ".csv": write_csv, ".parquet": write_parquet}[path.suffix](path, rows("a", "b"))
    if name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()

    assert found(tmp_path) == {"a": "t", "b": "t"}


def test_a_full_day_removes_what_it_omits_and_keeps_what_it_brings_broken(tmp_path: Path) -> None:
    for day in ("dt=2026-11-01", "dt=2026-11-02", "dt=2026-11-03"):
        write_images(tmp_path / day, {"a.png": b"picture"})
    write_jsonl(tmp_path / "dt=2026-11-01" / "items.jsonl", rows("a", "b", "c", "d", title="old"))
    broken = [{"item_id": "b", "image_uri": "a.png", "price": "cheap"}, {"item_id": "d", "image_uri": "none.png"}]
    write_jsonl(tmp_path / "dt=2026-11-02" / "items.jsonl", [*rows("a", title="new"), *broken])
    (tmp_path / "dt=2026-11-02" / "_full").touch()
    write_jsonl(tmp_path / "dt=2026-11-03" / "items.jsonl", [{"item_id": "a", "deleted": True}, *rows("e")])

    assert found(tmp_path) == {"b": "old", "d": "old", "e": "t"}
    assert read_head(tmp_path, Settings())[1] == 2


def test_the_last_sound_row_of_an_item_counts(tmp_path: Path) -> None:
    write_images(tmp_path, {"a.png": b"picture"})
    later = [
        *rows("a", title="second"),
        {"item_id": "a", "image_uri": "none.png"},
        "{broken",
        {"item_id": "a", "title": 5},
    ]
    write_jsonl(tmp_path / "items.jsonl", [*rows("a", title="first"), *later])

    assert found(tmp_path) == {"a": "second"}


def test_a_report_takes_the_row_before_one_whose_picture_cannot_be_decoded(tmp_path: Path) -> None:
    write_images(tmp_path, {"a.png": picture(1), "cut.png": picture(2)[:-40], "none.png": b""})
    uris = [("a", "a.png"), ("a", "cut.png"), ("b", "none.png")]
    write_jsonl(tmp_path / "items.jsonl", [{"item_id": name, "image_uri": uri} for name, uri in uris])

    catalog = read_evaluation_catalog(tmp_path, Settings())

    assert [(sample.item_id, sample.path.name if sample.path else "") for sample in catalog.samples] == [("a", "a.png")]
    assert catalog.unusable == 2


def test_columns_that_are_no_item_columns_are_read_as_they_were(tmp_path: Path) -> None:
    write_images(tmp_path, {"a.png": b"picture"})
    box = {"parent_id": "p", "box": [0, 0, 9, 9]}
    items = [rows("a")[0] | {"split": "test", "boxes": [box]}, rows("b")[0] | {"attributes": json.dumps({"kind": "x"})}]
    write_jsonl(tmp_path / "items.jsonl", items)

    (first, _), (second, _) = read_head(tmp_path, Settings())[0]

    assert (text(first, "split"), first["boxes"], text(second, "kind")) == ("test", [box], "x")


def test_an_items_file_is_read_as_the_folder_that_it_lies_in(tmp_path: Path) -> None:
    write_images(tmp_path, {"a.png": b"picture"})
    write_jsonl(tmp_path / "items.jsonl", rows("a", "b"))

    head, unusable = read_head(tmp_path / "items.jsonl", Settings())

    assert [(row["item_id"], base) for row, base in head] == [("a", tmp_path), ("b", tmp_path)]
    assert unusable == 0
    assert [sample.path for sample in read_folder_samples(tmp_path / "items.jsonl", Settings()).samples] == [
        tmp_path / "a.png",
        tmp_path / "a.png",
    ]


@pytest.mark.parametrize("bucket", ["folder", "shop"])
def test_a_picture_in_a_bucket_is_none_of_the_folder_whatever_the_bucket_is_called(tmp_path: Path, bucket: str) -> None:
    write_images(tmp_path, {"a.png": b"picture"})
    write_jsonl(tmp_path / "items.jsonl", [*rows("a"), {"item_id": "b", "image_uri": f"s3://{bucket}/a.png"}])

    head, unusable = read_head(tmp_path, Settings())

    assert [(row["item_id"], row["image_uri"]) for row, _ in head] == [("a", "a.png")]
    assert unusable == 1


def test_the_limits_are_the_platforms(tmp_path: Path) -> None:
    write_images(tmp_path, {"a.png": b"picture"})
    write_csv(tmp_path / "items.csv", [*rows("a"), *rows("b", title="of\nthree\nlines")])

    assert len(read_head(tmp_path, Settings())[0]) == 2
    assert read_head(tmp_path, Settings(csv_max_record_lines=2))[1] > 0


def test_what_ingest_would_refuse_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="found none"):
        read_head(tmp_path, Settings())
    write_jsonl(tmp_path / "items.jsonl", rows("a"))
    write_jsonl(tmp_path / "part-1.jsonl", rows("a"))

    with pytest.raises(DeliveryError, match="ambiguous"):
        read_head(tmp_path, Settings())
