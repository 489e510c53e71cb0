"""Filter columns: one memory-mapped array for each filterable column, aligned to the rows of an index version.

On disk a column is `columns/column-NNN.npy`, NNN its place among the sorted names, and, for a category, the dictionary
`columns/column-NNN.json`: a sorted list of values, so that code i + 1 stands for value i and 0 for a missing one.
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
from numpy.typing import NDArray

from vitrine.errors import ContractError

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
    """

    name: str
    kind: ColumnKind
    values: NDArray[Any]
    dictionary: tuple[str, ...] = ()

    def code(self, value: str) -> int | None:
        """Returns the code of a category's value, or None when no row has it."""
        place = bisect.bisect_left(self.dictionary, value)
        if place < len(self.dictionary) and self.dictionary[place] == value:
            return place + 1
        return None


def encode_column(name: str, kind: ColumnKind, values: Sequence[Any]) -> FilterColumn:
    """Turns values, None for missing, into a column."""
    if kind == "category":
        dictionary = tuple(sorted({value for value in values if value is not None}))
        codes = {value: code for code, value in enumerate(dictionary, start=1)}
        dtype = next(t for t in (np.uint8, np.uint16, np.uint32) if len(dictionary) <= np.iinfo(t).max)
        encoded = np.fromiter(
            (MISSING_CODE if value is None else codes[value] for value in values), dtype=dtype, count=len(values)
        )
        return FilterColumn(name, kind, encoded, dictionary)
    if kind == "number":
        numbers = (np.nan if value is None else float(value) for value in values)
        return FilterColumn(name, kind, np.fromiter(numbers, dtype=np.float64, count=len(values)))
    if kind == "boolean":
        flags = (MISSING_BOOLEAN if value is None else int(value) for value in values)
        return FilterColumn(name, kind, np.fromiter(flags, dtype=np.int8, count=len(values)))
    times = (MISSING_TIME if value is None else microseconds(value) for value in values)
    return FilterColumn(name, kind, np.fromiter(times, dtype=np.int64, count=len(values)))


def write_columns(folder: Path, columns: Sequence[FilterColumn]) -> list[str]:
    """Writes columns under `folder`; returns the files' names, relative to it."""
    (folder / "columns").mkdir(parents=True, exist_ok=True)
    names = []
    for place, column in enumerate(sorted(columns, key=lambda column: column.name)):
        array_name, dictionary_name = _file_names(place)
        np.save(folder / array_name, column.values)
        names.append(array_name)
        if column.kind == "category":
            (folder / dictionary_name).write_text(json.dumps(column.dictionary, ensure_ascii=False), encoding="utf-8")
            names.append(dictionary_name)
    return names


def open_columns(folder: Path, kinds: dict[str, ColumnKind], *, items: int) -> dict[str, FilterColumn]:
    """Memory-maps the columns that `write_columns` wrote.

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
    array_name, dictionary_name = _file_names(place)
    try:
        values = np.load(folder / array_name, mmap_mode="r" if items else None, allow_pickle=False)
        dictionary: tuple[str, ...] = ()
        if kind == "category":
            dictionary = tuple(json.loads((folder / dictionary_name).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ContractError(f"{folder / array_name} (column {name}) cannot be read: {error}; fetch it again") from error
    if values.shape != (items,):
        raise ContractError(f"{folder / array_name} (column {name}): expected {items} rows, found {values.shape}")
    return FilterColumn(name, kind, values, dictionary)


def _file_names(place: int) -> tuple[str, str]:
    return f"columns/column-{place:03d}.npy", f"columns/column-{place:03d}.json"
