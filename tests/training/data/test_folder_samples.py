"""Splits of a folder: by its column, else by time, and never a picture on two sides."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.folder_samples import read_folder_samples
from vitrine.errors import ContractError
from vitrine.settings import Settings


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Items with an image each; equal `content` are equal bytes. Nothing here decodes them."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, row in enumerate(rows):
        item = {"item_id": f"i{number:03d}", "image_uri": f"{number}.png", **row}
        (folder / f"{number}.png").write_bytes(str(item.pop("content", number)).encode())
        lines.append(json.dumps(item))
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def splits(folder: Path) -> dict[str, str]:
    return {sample.item_id: sample.split for sample in read_folder_samples(folder, Settings()).samples}


def test_a_column_says_where_an_item_stands(tmp_path: Path) -> None:
    stated = ["train", "val", "test", None, "nonsense"]

    found = read_folder_samples(write(tmp_path, [{"split": split} for split in stated]), Settings())

    assert [sample.split for sample in found.samples] == ["train", "validation", "test", "train", "train"]
    assert found.split_by == "column"


def test_the_column_may_be_an_attribute(tmp_path: Path) -> None:
    rows = [{"attributes": {"split": "train"}}, {"attributes": json.dumps({"split": "test"})}]

    assert set(splits(write(tmp_path, rows)).values()) >= {"test"}


def test_one_picture_with_two_stated_splits_stands_on_the_later_one(tmp_path: Path) -> None:
    rows = [{"split": "train", "content": "same"}, {"split": "test", "content": "same"}, {"split": "validation"}]

    assert splits(write(tmp_path, rows)) == {"i000": "test", "i001": "test", "i002": "validation"}


def test_a_column_without_a_validation_gives_it_whole_parents_of_the_train(tmp_path: Path) -> None:
    rows = [{"split": "test" if number >= 200 else "train", "parent_id": f"p{number // 4}"} for number in range(240)]

    found = read_folder_samples(write(tmp_path, rows), Settings()).samples

    sides: dict[str, set[str]] = defaultdict(set)
    for sample in found:
        sides[sample.parent_id].add(sample.split)
    assert all(len(side) == 1 for side in sides.values())
    held = sum(side == {"validation"} for side in sides.values())
    assert 1 <= held <= 15
    assert [sample.split for sample in found[200:]] == ["test"] * 40


def test_without_a_column_the_newest_parents_are_the_test_and_those_before_them_the_validation(tmp_path: Path) -> None:
    rows = [
        {"parent_id": f"p{number // 2}", "created_at": f"2026-01-{number // 2 + 1:02d}T00:00:00Z"}
        for number in range(20)
    ]

    found = read_folder_samples(write(tmp_path, rows), Settings())

    assert [sample.split for sample in found.samples] == ["train"] * 14 + ["validation"] * 2 + ["test"] * 4
    assert found.split_by == "time"


@pytest.mark.parametrize(
    ("first", "second"),
    [("2026-01-01T23:30:00-02:00", "2026-01-02T01:00:00Z"), ("2026-01-01", "2026-01-02T00:00:00")],
)
def test_times_of_any_zone_are_put_in_order(tmp_path: Path, first: str, second: str) -> None:
    rows: list[dict[str, Any]] = [{"created_at": "2025-01-01"} for _ in range(3)]
    rows += [{"created_at": second}, {"created_at": first}]

    found = splits(write(tmp_path, rows))

    newest = "i004" if "-02:00" in first else "i003"  # 23:30 at -02:00 is half past one in UTC
    assert found[newest] == "test"


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "parent_id": st.sampled_from([None, "a", "b", "c", "d", "e"]),
                "content": st.integers(0, 12),
                "created_at": st.sampled_from([None, "2026-01-01", "2026-02-01T10:00:00Z", "2026-03-01"]),
            }
        ),
        min_size=1,
        max_size=20,
    )
)
def test_by_time_no_parent_and_no_picture_stands_on_two_sides(rows: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        found = read_folder_samples(write(Path(folder), rows), Settings()).samples

    parents, pictures = defaultdict(set), defaultdict(set)
    for sample in found:
        parents[sample.parent_id].add(sample.split)
        pictures[sample.image_sha256].add(sample.split)
    assert len(found) == len(rows)
    assert all(len(sides) == 1 for sides in (*parents.values(), *pictures.values()))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"content": st.integers(0, 6), "split": st.sampled_from([None, "train", "validation", "test"])}
        ),
        min_size=1,
        max_size=20,
    )
)
def test_by_column_no_picture_stands_on_two_sides(rows: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        found = read_folder_samples(write(Path(folder), rows), Settings()).samples

    pictures = defaultdict(set)
    for sample in found:
        pictures[sample.image_sha256].add(sample.split)
    assert all(len(sides) == 1 for sides in pictures.values())


def test_an_image_that_is_away_or_outside_the_folder_is_counted(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(b"outside")
    rows = [{}, {"image_uri": "gone.png"}, {"image_uri": "../outside.png"}, {"image_uri": "s3://elsewhere/a.png"}]

    found = read_folder_samples(write(tmp_path / "catalog", rows), Settings())

    assert [sample.item_id for sample in found.samples] == ["i000"]
    assert found.unusable_rows == 3


def test_an_item_without_a_parent_is_a_product_by_itself(tmp_path: Path) -> None:
    found = read_folder_samples(write(tmp_path, [{}, {"parent_id": "p"}]), Settings()).samples

    assert [sample.parent_id for sample in found] == ["item:i000", "p"]


def test_the_name_of_the_data_depends_on_the_items_and_not_on_the_folder(tmp_path: Path) -> None:
    rows = [{"title": "shoe"}, {"title": "hat"}]
    here = read_folder_samples(write(tmp_path / "here", rows), Settings()).training_data().data_id

    there = read_folder_samples(write(tmp_path / "there", rows), Settings()).training_data().data_id
    other = (
        read_folder_samples(write(tmp_path / "other", [rows[0], {"title": "cap"}]), Settings()).training_data().data_id
    )

    assert here == there != other


def test_a_folder_without_items_or_without_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"expected items\.parquet, items\.jsonl or items\.csv"):
        read_folder_samples(tmp_path, Settings())
    with pytest.raises(ContractError, match="none has an image file"):
        read_folder_samples(write(tmp_path, [{"image_uri": "gone.png"}]), Settings())
