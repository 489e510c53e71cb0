"""Filters: equal to a slow row-by-row reference, and clear about what they do not understand."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitrine.errors import ContractError, RequestError
from vitrine.filter_columns import encode_column, open_columns, write_columns
from vitrine.filters import filter_mask

KINDS = {"category": "category", "attributes.size/é": "number", "price": "number", "in_stock": "boolean"}
KINDS |= {"created_at": "time"}
WORDS = ("dress", "lamp", "shoe", "Ärmel", "")
DAYS = [datetime.datetime(2026, 11, day, tzinfo=datetime.UTC) for day in range(1, 6)]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "category": st.sampled_from(WORDS),
    "attributes.size/é": st.integers(-3, 3),
    "price": st.sampled_from([0.0, 1.5, 2.0, 99.0, -1.0]),
    "in_stock": st.booleans(),
    "created_at": st.sampled_from(DAYS),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()}), min_size=1, max_size=30
)


def _wanted(name: str) -> st.SearchStrategy[Any]:
    kind = KINDS[name]
    values = VALUES[name].map(lambda value: value.isoformat() if isinstance(value, datetime.datetime) else value)
    if kind == "category":
        return values | st.just("unheard of") | st.lists(values | st.just("unheard of"), min_size=1, max_size=4)
    if kind == "boolean":
        return values
    bounds = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), values, min_size=1, max_size=3)
    return values | bounds | st.lists(values, min_size=1, max_size=3)


FILTERS = st.dictionaries(st.sampled_from(list(KINDS)), st.none(), max_size=3).flatmap(
    lambda chosen: st.fixed_dictionaries({name: _wanted(name) for name in chosen})
)


@given(rows=ROWS, filters=FILTERS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_mask_is_what_looking_at_every_row_says(rows: list[dict[str, Any]], filters: dict[str, Any]) -> None:
    columns = {name: encode_column(name, kind, [row[name] for row in rows]) for name, kind in KINDS.items()}

    mask = filter_mask(filters, columns)

    expected = [all(_matches(row[name], wanted) for name, wanted in filters.items()) for row in rows]
    assert (mask is None and not filters) or mask.tolist() == expected


@given(rows=ROWS)
@settings(max_examples=25, deadline=None)
def test_columns_read_back_from_disk_are_those_that_were_written(
    rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("columns")
    columns = [encode_column(name, kind, [row[name] for row in rows]) for name, kind in KINDS.items()]

    files = write_columns(folder, columns)
    opened = open_columns(folder, dict(KINDS), items=len(rows))

    assert sorted(files) == sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    for column in columns:
        assert np.array_equal(opened[column.name].values, column.values, equal_nan=column.kind == "number")
        assert opened[column.name].dictionary == column.dictionary


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"colour": "red"}, r"'colour'.*no such column.*category \(category\).*price \(number\)"),
        ({"price": "cheap"}, "'price', a number: expected a number"),
        ({"price": True}, "'price', a number"),
        ({"price": {}}, "found none"),
        ({"price": {"above": 3}}, "gt, gte, lt, lte; found 'above'"),
        ({"price": {"gte": None}}, "'price'"),
        ({"price": float("nan")}, "'price'"),
        ({"price": 10**400}, "'price'"),
        ({"category": {"gte": "a"}}, "a category has no ranges"),
        ({"category": 3}, "'category', a category: expected a text"),
        ({"category": []}, "the list is empty"),
        ({"category": [["dress"]]}, "'category'"),
        ({"category": ["x"] * 1_001}, "at most 1000"),
        ({"in_stock": 1}, "'in_stock', a boolean: expected true or false"),
        ({"created_at": "yesterday"}, "'yesterday' is no time"),
        ({"created_at": 5}, "'created_at', a time"),
        (["category"], "must be an object"),
    ],
)
def test_what_a_filter_does_not_understand_is_named(filters: Any, message: str) -> None:
    columns = {name: encode_column(name, kind, [None]) for name, kind in KINDS.items()}

    with pytest.raises(RequestError, match=message) as raised:
        filter_mask(filters, columns)

    assert raised.value.status == 400


def test_a_column_of_another_length_is_refused(tmp_path: Path) -> None:
    write_columns(tmp_path, [encode_column("price", "number", [1.0, 2.0])])

    with pytest.raises(ContractError, match="expected 3 rows"):
        open_columns(tmp_path, {"price": "number"}, items=3)


def _matches(value: Any, wanted: Any) -> bool:
    if value is None:
        return False
    value = value.isoformat() if isinstance(value, datetime.datetime) else value
    if isinstance(wanted, dict):
        compared = {
            "gt": lambda bound: value > bound,
            "gte": lambda bound: value >= bound,
            "lt": lambda bound: value < bound,
            "lte": lambda bound: value <= bound,
        }
        return all(compared[name](bound) for name, bound in wanted.items())
    return value in wanted if isinstance(wanted, list) else value == wanted
