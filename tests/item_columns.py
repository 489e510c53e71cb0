"""Filter columns from lists of values, as the builder makes them of many rows; for small tables in tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitrine.item_table.columns import (
    ColumnFiles,
    ColumnKind,
    FilterColumn,
    microseconds,
    missing_value,
    value_type,
    write_dictionary,
    write_order,
)
from vitrine.row_arrays.sorted_rows import sort_rows


def encode_column(name: str, kind: ColumnKind, values: Sequence[Any]) -> FilterColumn:
    """Turns values, None for missing, into a column."""
    dictionary: tuple[str, ...] = ()
    stored: dict[Any, Any] | None = None
    if kind == "category":
        dictionary = tuple(sorted({value for value in values if value is not None}))
        stored = {value: code for code, value in enumerate(dictionary, start=1)}
    missing = missing_value(kind)
    encoded = (
        missing if value is None else stored[value] if stored else microseconds(value) if kind == "time" else value
        for value in values
    )
    array = np.fromiter(encoded, dtype=value_type(kind, distinct=len(dictionary)), count=len(values))
    return FilterColumn(name, kind, array, dictionary, sort_rows(array))


def write_columns(folder: Path, columns: Sequence[FilterColumn]) -> list[str]:
    """Writes columns under `folder`; returns the files' names, relative to it."""
    (folder / "columns").mkdir(parents=True, exist_ok=True)
    names = []
    for place, column in enumerate(sorted(columns, key=lambda column: column.name)):
        files = ColumnFiles.at(place)
        np.save(folder / files.values, column.values)
        names += [files.values, *write_order(folder, files, column.values)]
        if column.kind == "category":
            names += write_dictionary(folder, files, column.dictionary)
    return names
