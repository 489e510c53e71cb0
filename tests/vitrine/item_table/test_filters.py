"""Filters: equal to a slow row-by-row reference, and clear about what they do not understand."""

from __future__ import annotations

import datetime
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.item_columns import encode_column, write_columns
from vitrine.errors import ContractError, RequestError
from vitrine.item_table import matching
from vitrine.item_table.columns import open_columns
from vitrine.item_table.filter_cache import FilterCache
from vitrine.item_table.filters import filter_rows
from vitrine.row_arrays.row_sets import RowSet

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


@pytest.mark.parametrize("few", [0, 4, 1_000])
@pytest.mark.parametrize("is_ordered", [True, False], ids=["with an order", "of before"])
@given(rows=ROWS, filters=FILTERS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_rows_are_what_looking_at_every_row_says(
    rows: list[dict[str, Any]], filters: dict[str, Any], few: int, is_ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "_FEW_ROWS", few)
    columns = {name: encode_column(name, kind, [row[name] for row in rows]) for name, kind in KINDS.items()}
    if not is_ordered:
        columns = {name: replace(column, order=None) for name, column in columns.items()}
    cache = FilterCache(1_000)

    found = [filter_rows(filters, columns, cache=cache) for _ in range(2)]

    expected = [all(_matches(row[name], wanted) for name, wanted in filters.items()) for row in rows]
    for one in found:
        assert (one is None and not filters) or one.mask().tolist() == expected
        assert one is None or (one.count, one.ids.tolist()) == (sum(expected), np.flatnonzero(expected).tolist())


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
        assert tuple(opened[column.name].dictionary) == column.dictionary
        assert np.array_equal(opened[column.name].order, column.order)


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
        ({"category": ["x"] * 501, "price": [1] * 500}, "1001 values in lists; at most 1000"),
        ({"in_stock": 1}, "'in_stock', a boolean: expected true or false"),
        ({"created_at": "yesterday"}, "'yesterday' is not a time"),
        ({"created_at": 5}, "'created_at', a time"),
        (["category"], "must be an object"),
    ],
)
def test_what_a_filter_does_not_understand_is_named(filters: Any, message: str) -> None:
    columns = {name: encode_column(name, kind, [None]) for name, kind in KINDS.items()}

    with pytest.raises(RequestError, match=message) as raised:
        filter_rows(filters, columns)

    assert raised.value.status == 400


def test_a_column_of_another_length_is_refused(tmp_path: Path) -> None:
    write_columns(tmp_path, [encode_column("price", "number", [1.0, 2.0])])

    with pytest.raises(ContractError, match="expected 3 rows"):
        open_columns(tmp_path, {"price": "number"}, items=3)


def test_a_column_of_before_opens_with_its_dictionary_as_json(tmp_path: Path) -> None:
    column = encode_column("category", "category", ["lamp", None, "dress"])
    (tmp_path / "columns").mkdir()
    np.save(tmp_path / "columns/column-000.npy", column.values)
    (tmp_path / "columns/column-000.json").write_text(json.dumps(column.dictionary), encoding="utf-8")

    opened = open_columns(tmp_path, {"category": "category"}, items=3)

    assert opened["category"].order is None
    assert filter_rows({"category": ["dress", "lamp"]}, opened).mask().tolist() == [True, False, True]


def test_a_dictionary_keeps_every_text_that_json_can_hold(tmp_path: Path) -> None:
    texts = ["", "a", "Ärmel", "\ud800", "\uffff", "\U0001f457"]
    write_columns(tmp_path, [encode_column("color", "category", [*texts, None])])

    column = open_columns(tmp_path, {"color": "category"}, items=7)["color"]

    assert list(column.dictionary) == texts
    assert [column.code(text) for text in texts] == [1, 2, 3, 4, 5, 6]
    assert column.code("b") is None


def test_a_cache_keeps_no_more_than_it_may_and_what_was_asked_last() -> None:
    cache = FilterCache(3 * 128)
    makes = []

    def ask(key: str) -> RowSet:
        def make() -> RowSet:
            makes.append(key)
            return RowSet.of_mask(np.ones(1_024, dtype=np.bool_))

        return cache.get(key, make)

    for key in ["a", "b", "c", "a", "d", "a", "b"]:
        ask(key)

    assert makes == ["a", "b", "c", "d", "b"]
    assert cache.held_bytes == 3 * 128


def test_threads_that_filter_at_once_see_whole_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_FEW_ROWS", 0)
    numbers = np.random.default_rng(5).integers(0, 100, size=100_000)
    columns = {"price": encode_column("price", "number", numbers.tolist())}
    cache = FilterCache(5 * 12_504)  # of five sets: they push each other out
    wrong: list[int] = []

    def ask(seed: int) -> None:
        for bound in np.random.default_rng(seed).integers(0, 20, size=60).tolist():
            found = filter_rows({"price": {"lt": bound + 40}}, columns, cache=cache)
            if not np.array_equal(found.mask(), numbers < bound + 40):
                wrong.append(bound)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


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
