"""Filter columns written in pieces, in order of rows, straight into the files that will be memory-mapped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index_builder.metadata.attributes import Attributes, Scalar, attribute_text
from index_builder.metadata.filter_choice import ATTRIBUTE_PREFIX, ChosenColumn
from vitrine.item_table.columns import ColumnFiles, missing_value, value_type, write_dictionary, write_order


class ColumnFileWriters:
    """Writes the chosen columns of a table of `items` rows under a folder."""

    def __init__(self, folder: Path, columns: Sequence[ChosenColumn], *, items: int) -> None:
        (folder / "columns").mkdir(parents=True)
        self._folder = folder
        named = sorted(columns, key=lambda column: column.name)
        writers = [_ColumnWriter(folder, ColumnFiles.at(place), column, items) for place, column in enumerate(named)]
        self._all = writers
        self._named = [one for one in writers if not one.column.name.startswith(ATTRIBUTE_PREFIX)]
        self._attributes = {
            one.column.name.removeprefix(ATTRIBUTE_PREFIX): one
            for one in writers
            if one.column.name.startswith(ATTRIBUTE_PREFIX)
        }

    def write(self, start: int, table: pa.Table, attributes: Attributes) -> None:
        """Writes the rows from `start` on."""
        for writer in self._named:
            writer.write(start, writer.encoded(table[writer.column.name].combine_chunks()))
        for name, writer in self._attributes.items():
            distinct = writer.missing(attributes.distinct)
            if name in attributes.values:
                places, values = attributes.values[name]
                distinct[places] = writer.stored(values)
            writer.write(start, distinct[attributes.places])

    def close(self) -> list[str]:
        """Writes what stands beside the values; returns the names of all files, relative to the folder.

        Takes 20 bytes of memory an item while it sorts a column's rows.
        """
        names = []
        for writer in self._all:
            names += writer.close(self._folder)
        return names


class _ColumnWriter:
    def __init__(self, folder: Path, files: ColumnFiles, column: ChosenColumn, items: int) -> None:
        self.column = column
        self._files = files
        self._type = value_type(column.kind, distinct=len(column.dictionary))
        self._values = np.lib.format.open_memmap(folder / files.values, mode="w+", dtype=self._type, shape=(items,))
        self._codes = {text: code for code, text in enumerate(column.dictionary, start=1)}
        # Lone halves of surrogate pairs stand in attributes only, never in a column of a manifest.
        is_named = not column.name.startswith(ATTRIBUTE_PREFIX)
        self._dictionary = pa.array(column.dictionary, pa.string()) if is_named else None

    def encoded(self, values: pa.Array) -> NDArray[Any]:
        """Returns a manifest's values as they are stored."""
        if self.column.kind == "category":
            codes = pc.index_in(values, value_set=self._dictionary, skip_nulls=True)
            return pc.fill_null(pc.add(codes, 1), 0).to_numpy(zero_copy_only=False)
        if self.column.kind == "boolean":
            values = values.cast(pa.int8())
        elif self.column.kind == "time":
            values = values.cast(pa.int64())
        return pc.fill_null(values, missing_value(self.column.kind)).to_numpy(zero_copy_only=False)

    def stored(self, values: list[Scalar]) -> list[Any]:
        """Returns an attribute's values as they are stored."""
        return [self._codes[attribute_text(value)] for value in values] if self.column.kind == "category" else values

    def missing(self, count: int) -> NDArray[Any]:
        """Returns so many missing values."""
        return np.full(count, missing_value(self.column.kind), dtype=self._type)

    def write(self, start: int, values: NDArray[Any]) -> None:
        self._values[start : start + len(values)] = values

    def close(self, folder: Path) -> list[str]:
        self._values.flush()
        names = [self._files.values, *write_order(folder, self._files, self._values)]
        if self.column.kind == "category":
            names += write_dictionary(folder, self._files, self.column.dictionary)
        del self._values
        return names
