"""Which columns can be filtered on: seen in pieces, held within bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from index_builder.metadata import filter_choice
from index_builder.metadata.attributes import Attributes
from index_builder.metadata.column_files import ColumnFileWriters
from index_builder.metadata.filter_choice import NAMED_COLUMNS, ColumnChoice
from tests.item_columns import encode_column
from vitrine.contracts.items import manifest_items_schema
from vitrine.item_table.columns import open_columns

SCHEMA = pa.schema([manifest_items_schema().field(name) for name in (*NAMED_COLUMNS, "attributes")])


def _tables(attributes: list[dict[str, Any]], *, piece: int = 4) -> list[pa.Table]:
    rows = [{"attributes": json.dumps(one), "price": float(place)} for place, one in enumerate(attributes)]
    return [pa.Table.from_pylist(rows[start : start + piece], schema=SCHEMA) for start in range(0, len(rows), piece)]


def _choice(attributes: list[dict[str, Any]], *, piece: int = 4) -> ColumnChoice:
    choice = ColumnChoice()
    for table in _tables(attributes, piece=piece):
        choice.see(table, Attributes(table["attributes"]))
    return choice


@pytest.mark.parametrize("piece", [1, 3, 100])
def test_a_kind_is_that_of_all_values_however_they_come(piece: int) -> None:
    attributes = [{"size": 1, "is_new": True, "code": 5, "list": [1]}, {"size": 2.5, "code": "5a"}, {"is_new": False}]

    columns = {column.name: column for column in _choice(attributes * 3, piece=piece).columns()}

    assert {name: column.kind for name, column in columns.items()} == {
        "attributes.code": "category",
        "attributes.is_new": "boolean",
        "attributes.size": "number",
        "price": "number",
    }
    assert columns["attributes.code"].dictionary == ("5", "5a")


def test_of_many_attributes_those_that_most_items_have_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_choice, "_MOST_ATTRIBUTES", 2)
    attributes = [{"rare": "a", "some": "b", "all": "c"}, {"some": "b", "all": "c"}, {"all": "c"}]

    assert [column.name for column in _choice(attributes).columns()] == ["attributes.all", "attributes.some", "price"]


def test_a_category_of_too_many_values_is_none_and_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_choice, "_MOST_DISTINCT", 10)
    monkeypatch.setattr(filter_choice, "_MOST_VALUES", 15)
    monkeypatch.setattr(filter_choice, "_MOST_NAMES", 3)
    attributes: list[dict[str, Any]] = [{"text": f"t{place}", "often": f"o{place % 9}"} for place in range(40)]
    attributes += [{"seldom": f"s{place}"} for place in range(8)]
    attributes += [{"late": "x"}]

    choice = _choice(attributes)

    assert [column.name for column in choice.columns()] == ["attributes.often", "price"]
    assert choice._values_held <= 15


def test_columns_written_in_pieces_are_those_of_all_values_at_once(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    values = [
        {"material": str(generator.choice(["wool", "silk", "\ud800"])), "mixed": [1, 1.0, "1", True, -0.0][place % 5]}
        | ({"size": int(generator.integers(0, 5))} if place % 3 else {})
        for place in range(50)
    ]
    tables = _tables(values, piece=7)
    columns = _choice(values, piece=7).columns()
    writers = ColumnFileWriters(tmp_path, columns, items=50)

    for place, table in enumerate(tables):
        writers.write(7 * place, table, Attributes(table["attributes"]))
    writers.close()

    opened = open_columns(tmp_path, {column.name: column.kind for column in columns}, items=50)
    texts = ["1", "1.0", "1", "true", "-0.0"]
    expected = [
        encode_column("attributes.material", "category", [one["material"] for one in values]),
        encode_column("attributes.mixed", "category", [texts[place % 5] for place in range(50)]),
        encode_column("attributes.size", "number", [one.get("size") for one in values]),
        encode_column("price", "number", [float(place) for place in range(50)]),
    ]
    assert sorted(opened) == [column.name for column in expected]
    for column in expected:
        assert np.array_equal(opened[column.name].values, column.values, equal_nan=column.kind == "number")
        assert np.array_equal(opened[column.name].order, column.order)
        assert tuple(opened[column.name].dictionary) == tuple(column.dictionary)


def test_a_text_that_is_no_json_object_by_itself_has_no_attributes() -> None:
    column = pa.chunked_array([["{}", None, "[1]", '{"a":1}', "3"]])

    attributes = Attributes(column)

    assert attributes.values == {"a": ([attributes.places[3]], [1])}
    with pytest.raises(ValueError, match=r"Expecting value|Extra data"):
        Attributes(pa.chunked_array([["1,2"]]))
