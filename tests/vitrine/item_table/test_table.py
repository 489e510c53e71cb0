"""Item tables: what is read of them, and tables that were made before."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests.item_columns import encode_column, write_columns
from vitrine.contracts.releases import ItemTable as ItemTableManifest
from vitrine.errors import ContractError
from vitrine.item_table.groups import write_groups
from vitrine.item_table.table import ITEMS_COLUMNS, ITEMS_FILE, ITEMS_INDEX, ITEMS_SCHEMA, ItemTable

COLORS = ["red", "blue", None, "red"]


def test_a_table_of_before_opens_filters_and_knows_no_groups(tmp_path: Path) -> None:
    _write_items(tmp_path)
    (tmp_path / "columns").mkdir()
    column = encode_column("color", "category", COLORS)
    np.save(tmp_path / "columns/column-000.npy", column.values)
    (tmp_path / "columns/column-000.json").write_text(json.dumps(column.dictionary), encoding="utf-8")

    table = ItemTable.open(tmp_path, ItemTableManifest.from_bytes(_manifest_of_before()))

    assert table.filter_rows({"color": "red"}).ids.tolist() == [0, 3]
    assert table.groups == {}
    assert table.item("item-2").row == 2


def test_groups_say_whose_rows_are_one(tmp_path: Path) -> None:
    _write_items(tmp_path)
    write_columns(tmp_path, [encode_column("color", "category", COLORS)])
    write_groups(tmp_path, "product", np.array([0, 1, 1, 0]))
    manifest = ItemTableManifest.from_bytes(_manifest_of_before()).model_copy(update={"groups": {"product": 2}})

    groups = ItemTable.open(tmp_path, manifest).groups["product"]

    assert groups.of(np.array([3, 2])).tolist() == [0, 1]
    assert groups.members([0]).tolist() == [0, 3]
    assert groups.members([1, 0]).tolist() == [0, 1, 2, 3]
    assert groups.members([]).tolist() == []


def test_a_table_that_lacks_rows_or_groups_is_refused(tmp_path: Path) -> None:
    _write_items(tmp_path)
    write_columns(tmp_path, [encode_column("color", "category", COLORS)])
    manifest = ItemTableManifest.from_bytes(_manifest_of_before())

    with pytest.raises(ContractError, match=r"product\.npy cannot be read"):
        ItemTable.open(tmp_path, manifest.model_copy(update={"groups": {"product": 2}}))
    with sqlite3.connect(tmp_path / ITEMS_FILE) as connection:
        connection.execute("DELETE FROM items WHERE row = 3")
    with pytest.raises(ContractError, match="expected 4 items, found 3"):
        ItemTable.open(tmp_path, manifest)


def _write_items(folder: Path) -> None:
    connection = sqlite3.connect(folder / ITEMS_FILE)
    connection.execute(ITEMS_SCHEMA)
    for row, color in enumerate(COLORS):
        values = {"row": row, "item_id": f"item-{row}", "color": color, "attributes": "{}"}
        marks = ",".join("?" * len(ITEMS_COLUMNS))
        connection.execute(f"INSERT INTO items VALUES ({marks})", [values.get(name) for name in ITEMS_COLUMNS])
    connection.execute(ITEMS_INDEX)
    connection.commit()
    connection.close()


def _manifest_of_before() -> bytes:
    return json.dumps(
        {
            "item_table_id": "items-of-before",
            "catalog_id": "shop",
            "index_version": "index-1",
            "head_sequence": 1,
            "manifests": {},
            "items": 4,
            "columns": {"color": "category"},
            "files": [],
        }
    ).encode()
