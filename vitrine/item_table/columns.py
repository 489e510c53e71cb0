"""Filter columns: one memory-mapped array for each filterable column, aligned to the rows of an index version.

On disk a column is `columns/column-NNN.npy`, NNN its place among the sorted names; beside it, `.order.npy`, the rows
in order of their values, and, for a category, the dictionary `.texts.npy` and `.ends.npy`: a sorted list of values,
so that code i + 1 stands for value i and 0 for a missing one. Tables of before have the dictionary as `.json` and no
order.
"""

from __future__ import annotations

import bisect
import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vitrine.errors import ContractError
from vitrine.item_table.text_lists import open_texts, write_texts
from vitrine.row_arrays.mapped_arrays import map_array
from vitrine.row_arrays.sorted_rows import ROW_TYPE, sort_rows

ColumnKind = Literal["category", "number", "boolean", "time"]

MISSING_CODE = 0
MISSING_BOOLEAN = -1
MISSING_TIME = np.iinfo(np.int64).min
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class FilterColumn:
    """One column over all rows.

    Attributes:
        values: (items,): codes of a category, float64 numbers with NaN for missing, int8 booleans (-1 missing),
            int64 microseconds since 1970 (UTC) of a time.
        dictionary: the values of a category in order of their codes, from code 1 on.
        order: (items,), uint32: the rows in order of their values, NaN last; None in tables of before.
    """

    name: str
    kind: ColumnKind
    values: NDArray[Any]
    dictionary: Sequence[str] = ()
    order: NDArray[np.uint32] | None = None

    def code(self, value: str) -> int | None:
        """Returns the code of a category's value, or None when no row has it."""
        place = bisect.bisect_left(self.dictionary, value)
        if place < len(self.dictionary) and self.dictionary[place] == value:
            return place + 1
        return None


@dataclass(frozen=True)
class ColumnFiles:
    """Names of a column's files, relative to the table's folder."""

    values: str
    order: str
    texts: str
    ends: str

    @classmethod
    def at(cls, place: int) -> ColumnFiles:
        """Returns the files of the column at a place among the sorted names."""
        stem = f"columns/column-{place:03d}"
        return cls(f"{stem}.npy", f"{stem}.order.npy", f"{stem}.texts.npy", f"{stem}.ends.npy")


def value_type(kind: ColumnKind, *, distinct: int = 0) -> DTypeLike:
    """Returns the type that a column's values are stored in; `distinct` is the length of a category's dictionary."""
    if kind == "category":
        return next(t for t in (np.uint8, np.uint16, np.uint32) if distinct <= np.iinfo(t).max)
    return {"number": np.float64, "boolean": np.int8, "time": np.int64}[kind]


def missing_value(kind: ColumnKind) -> Any:
    """Returns what stands for a missing value."""
    return {"category": MISSING_CODE, "number": np.nan, "boolean": MISSING_BOOLEAN, "time": MISSING_TIME}[kind]


def write_order(folder: Path, files: ColumnFiles, values: NDArray[Any]) -> list[str]:
    """Writes the order of a column's rows; returns the file's name."""
    np.save(folder / files.order, sort_rows(values))
    return [files.order]


def write_dictionary(folder: Path, files: ColumnFiles, dictionary: Sequence[str]) -> list[str]:
    """Writes the dictionary of a category; returns the files' names."""
    write_texts(dictionary, texts_path=folder / files.texts, ends_path=folder / files.ends)
    return [files.texts, files.ends]


def open_columns(folder: Path, kinds: dict[str, ColumnKind], *, items: int) -> dict[str, FilterColumn]:
    """Memory-maps the columns of a table, or of a table of before.

    Raises:
        ContractError: a file is missing, malformed, or of another number of rows.
    """
    return {
        name: _open_column(folder, place, name, kind, items) for place, (name, kind) in enumerate(sorted(kinds.items()))
    }


def microseconds(time: datetime.datetime) -> int:
    """Returns microseconds since 1970 in UTC; a time without a zone counts as UTC."""
    aware = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
    return (aware - _EPOCH) // datetime.timedelta(microseconds=1)


def _open_column(folder: Path, place: int, name: str, kind: ColumnKind, items: int) -> FilterColumn:
    files = ColumnFiles.at(place)
    order = None
    if (folder / files.order).is_file():
        order = map_array(folder / files.order, items=items, dtype=ROW_TYPE)
    dictionary: Sequence[str] = ()
    if kind == "category":
        dictionary = _open_dictionary(folder, files, name)
    return FilterColumn(name, kind, map_array(folder / files.values, items=items), dictionary, order)


def _open_dictionary(folder: Path, files: ColumnFiles, name: str) -> Sequence[str]:
    before = (folder / files.values).with_suffix(".json")
    if not before.is_file():
        return open_texts(texts_path=folder / files.texts, ends_path=folder / files.ends)
    try:
        return tuple(json.loads(before.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ContractError(f"{before} (column {name}) cannot be read: {error}; fetch it again") from error
