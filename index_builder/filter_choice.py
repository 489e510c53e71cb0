"""Which columns of a head can be filtered on: the named ones that hold values, and scalar attributes."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import pyarrow as pa

from vitrine.filter_columns import ColumnKind, FilterColumn, encode_column

_NAMED: dict[str, ColumnKind] = {
    "category": "category",
    "brand": "category",
    "color": "category",
    "parent_id": "category",
    "price": "number",
    "in_stock": "boolean",
    "created_at": "time",
}
_MOST_ATTRIBUTES = 64
_MOST_DISTINCT = 100_000  # a dictionary of more is no category but a text


def choose_columns(rows: pa.Table) -> list[FilterColumn]:
    """Returns the filter columns of a head's rows; a column without any value is left out.

    Attributes become `attributes.<name>`: the 64 that most items have. One that is always a number is a number, always
    true or false a boolean, otherwise its values are a category; lists and objects are left out.
    """
    columns = [
        encode_column(name, kind, rows[name].to_pylist())
        for name, kind in _NAMED.items()
        if rows[name].null_count < rows.num_rows
    ]
    columns += _attribute_columns(rows["attributes"].to_pylist())
    return [column for column in columns if len(column.dictionary) <= _MOST_DISTINCT]


def _attribute_columns(texts: list[str | None]) -> list[FilterColumn]:
    attributes = [_scalars(text) for text in texts]
    counts = Counter(name for values in attributes for name in values)
    chosen = sorted(counts, key=lambda name: (-counts[name], name))[:_MOST_ATTRIBUTES]
    columns = []
    for name in chosen:
        values = [row.get(name) for row in attributes]
        kind = _kind(values)
        if kind == "category":
            values = [None if value is None else _text(value) for value in values]
        columns.append(encode_column(f"attributes.{name}", kind, values))
    return columns


def _scalars(text: str | None) -> dict[str, Any]:
    parsed = json.loads(text) if text else {}
    if not isinstance(parsed, dict):
        return {}
    return {
        name: value
        for name, value in parsed.items()
        if isinstance(value, (str, bool))
        or (isinstance(value, int) and abs(value) < 1 << 63)
        or (isinstance(value, float) and math.isfinite(value))
    }


def _kind(values: list[Any]) -> ColumnKind:
    present = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in present):
        return "boolean"
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present):
        return "number"
    return "category"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
