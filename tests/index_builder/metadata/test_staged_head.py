"""A head brought into an index's order in pieces: the same whatever order it comes in, and nothing lost on the way."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from index_builder.metadata import row_buckets
from index_builder.metadata.staged_head import HEAD_COLUMNS, StagedHead
from tests.index_builder.synthetic_catalog import make_items
from vitrine.contracts.items import manifest_items_schema
from vitrine.contracts.releases import ItemTable as ItemTableManifest
from vitrine.errors import ContractError
from vitrine.identity import sha256_hex
from vitrine.item_table.table import ItemTable

SCHEMA = pa.schema([manifest_items_schema().field(name) for name in HEAD_COLUMNS])
NAMED = pa.schema([SCHEMA.field("item_id"), SCHEMA.field("embedding_key")])
ITEMS = 500


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_buckets, "_LEAST_ROWS", 64)


def _head() -> list[dict[str, Any]]:
    rows = []
    for number, item in enumerate(make_items(ITEMS)):
        digest = sha256_hex(f"picture {number - number % 3 if number % 50 == 1 else number}".encode())
        looks = f"{int(digest[:16], 16):016x}"
        rows.append({"item_id": item.item_id, "embedding_key": digest, "image_sha256": digest} | item.columns)
        rows[-1]["perceptual_hash"] = looks
    return rows


def _batches(rows: list[dict[str, Any]], schema: pa.Schema, *, piece: int) -> list[pa.RecordBatch]:
    return [
        pa.RecordBatch.from_pylist(rows[start : start + piece], schema=schema) for start in range(0, len(rows), piece)
    ]


def _stage(head: list[dict[str, Any]], rows: list[dict[str, Any]], folder: Path, *, piece: int = 90) -> StagedHead:
    named = [{name: row[name] for name in NAMED.names} for row in rows]
    return StagedHead.stage(
        _batches(head, SCHEMA, piece=piece),
        lambda: _batches(named, NAMED, piece=130),
        items=len(rows),
        folder=folder,
        label="test",
    )


def test_the_digest_depends_on_the_rows_and_not_on_how_the_head_comes(tmp_path: Path) -> None:
    head = _head()
    rows = random.Random(1).sample(head, len(head))
    cheaper = [{**row, "price": 0.5} if place == 7 else row for place, row in enumerate(head)]

    first = _stage(head, rows, tmp_path / "first")
    again = _stage(head[::-1], rows, tmp_path / "again", piece=17)
    changed = _stage(cheaper, rows, tmp_path / "changed")
    moved = _stage(head, head, tmp_path / "moved")

    assert first.digest == again.digest
    assert len({first.digest, changed.digest, moved.digest}) == 3


def test_every_item_stands_in_its_row_with_its_values(tmp_path: Path) -> None:
    head = _head()
    rows = random.Random(2).sample(head, len(head))
    (tmp_path / "table").mkdir()
    staged = _stage(head, rows, tmp_path / "staged")

    groups, _ = staged.write(tmp_path / "table", near_duplicate_distance=3)

    manifest = ItemTableManifest(
        item_table_id="items-1",
        catalog_id="shop",
        index_version="index-1",
        head_sequence=1,
        manifests={},
        items=ITEMS,
        columns={column.name: column.kind for column in staged.columns},
        groups=groups,
        files=(),
    )
    table = ItemTable.open(tmp_path / "table", manifest)
    items = table.items(range(ITEMS))
    assert [item.item_id for item in items] == [row["item_id"] for row in rows]
    assert [item.price for item in items] == [row["price"] for row in rows]
    for column, value in (("color", "red"), ("in_stock", True), ("category", "lamp"), ("parent_id", "parent-3")):
        found = table.filter_rows({column: value})
        assert found.ids.tolist() == [place for place, row in enumerate(rows) if row[column] == value]
    assert table.filter_rows({"attributes.material": "silk", "price": {"lt": 200}}).ids.tolist() == [
        place for place, row in enumerate(rows) if '"silk"' in row["attributes"] and (row["price"] or 1_000) < 200
    ]
    pictures = [row["image_sha256"] for row in rows]
    assert table.groups["image"].groups.tolist() == [pictures.index(picture) for picture in pictures]
    assert len(list((tmp_path / "staged/buckets").iterdir())) == 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda head: head[:-1], "the head holds 499 items"),
        (lambda head: [*head[:-1], head[0]], "item_id differs among rows"),
        (lambda head: [*head[:-1], {**head[-1], "item_id": "stranger"}], "'stranger' of the head is none of its rows"),
        (lambda head: [*head[:-1], {**head[-1], "embedding_key": "other"}], "embedding_key differs among rows"),
        (lambda head: [], "the head holds 0 items"),
    ],
)
def test_a_head_that_is_not_the_indexs_is_refused(spoil, message: str, tmp_path: Path) -> None:
    head = _head()

    with pytest.raises(ContractError, match=message):
        _stage(spoil(head), head, tmp_path / "staged")
