"""A request's `filters`: parsed against the columns that exist, answered as a set of rows.

Filters are joined by AND. A filter is a value (`{"category": "dress"}`), a list of which any may match
(`{"color": ["red", "blue"]}`), or a range (`{"price": {"gte": 10, "lt": 50}}`; `gt`, `gte`, `lt`, `lte`, on numbers and
times). A row without a value matches no filter on that column.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any

from vitrine.errors import RequestError
from vitrine.item_table.columns import FilterColumn, microseconds
from vitrine.item_table.conditions import Condition, Equal, Within
from vitrine.item_table.filter_cache import FilterCache
from vitrine.item_table.matching import matching_rows
from vitrine.row_arrays.row_sets import RowSet

_BOUNDS = ("gt", "gte", "lt", "lte")
_EXPECTED = {
    "category": "a text, or a list of texts",
    "number": 'a number, a list of numbers, or a range such as {"gte": 10, "lt": 50}',
    "boolean": "true or false",
    "time": 'a time such as "2026-11-01T00:00:00Z", or a range such as {"gte": "2026-11-01"}',
}
_MOST_VALUES = 1_000  # in all lists of a request: each is looked up, in 25 microseconds; a table may have 71 columns


def filter_rows(
    filters: Any, columns: Mapping[str, FilterColumn], *, cache: FilterCache | None = None
) -> RowSet | None:
    """Returns the rows that match every filter; None when nothing is filtered.

    Args:
        cache: of the table that the columns are of.

    Raises:
        RequestError: a filter names no column, or does not fit its kind; the message says what exists.
    """
    if filters is None:
        return None
    if not isinstance(filters, Mapping):
        raise _refused(f"`filters` must be an object of column to value, found {type(filters).__name__}")
    values = sum(len(wanted) for wanted in filters.values() if isinstance(wanted, list))
    if values > _MOST_VALUES:
        raise _refused(f"filters: {values} values in lists; at most {_MOST_VALUES} are allowed in one request")
    conditions = []
    for name, wanted in filters.items():
        if name not in columns:
            known = ", ".join(f"{column.name} ({column.kind})" for column in columns.values()) or "none"
            raise _refused(f"filter on {name!r}: there is no such column; columns to filter on: {known}")
        conditions.append(_condition(columns[name], wanted))
    return matching_rows(conditions, columns, cache=cache) if conditions else None


def _condition(column: FilterColumn, wanted: Any) -> Condition:
    if isinstance(wanted, Mapping):
        return _range(column, wanted)
    values = wanted if isinstance(wanted, list) else [wanted]
    if not values:
        raise _refused(f"filter on {column.name!r}: the list is empty; expected {_EXPECTED[column.kind]}")
    stored = [_value(column, value) for value in values]
    if column.kind == "category":
        stored = [code for code in map(column.code, stored) if code is not None]
    return Equal(column.name, tuple(sorted(set(stored))))


def _range(column: FilterColumn, wanted: Mapping[str, Any]) -> Condition:
    if column.kind not in ("number", "time"):
        raise _refused(f"filter on {column.name!r}: a {column.kind} has no ranges; expected {_EXPECTED[column.kind]}")
    unknown = sorted(set(wanted) - set(_BOUNDS))
    if unknown or not wanted:
        found = ", ".join(map(repr, unknown)) or "none"
        raise _refused(f"filter on {column.name!r}: a range has some of {', '.join(_BOUNDS)}; found {found}")
    bounds = {name: _value(column, bound) for name, bound in wanted.items()}
    return Within(column.name, **bounds)


def _value(column: FilterColumn, value: Any) -> Any:
    """Checks one value against the column's kind and returns it as the column stores it (a category: as text)."""
    if column.kind == "category" and isinstance(value, str):
        return value
    if column.kind == "boolean" and isinstance(value, bool):
        return int(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if column.kind == "number" and is_number:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    if column.kind == "time" and isinstance(value, str):
        try:
            return microseconds(datetime.datetime.fromisoformat(value))
        except (ValueError, OverflowError) as error:
            raise _refused(f"filter on {column.name!r}: {value[:40]!r} is not a time ({error})") from error
    shown = repr(value)
    raise _refused(
        f"filter on {column.name!r}, a {column.kind}: expected {_EXPECTED[column.kind]}, "
        f"found {shown if len(shown) <= 60 else shown[:57] + '...'}"
    )


def _refused(message: str) -> RequestError:
    return RequestError(message, title="Filter refused")
