"""The SQLite file of an item table, written in pieces, in order of rows."""

from __future__ import annotations

import datetime
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vitrine.item_table.table import ITEMS_COLUMNS, ITEMS_INDEX, ITEMS_SCHEMA

# Columns of the item table after `row`, and the manifest column each is read from.
_SOURCES = {"width": "image_width", "height": "image_height"}
STORED_COLUMNS = tuple(_SOURCES.get(name, name) for name in ITEMS_COLUMNS if name != "row")
_CACHE_KIB = 65_536  # of SQLite's pages while it writes, and while it sorts the ids


class ItemDatabaseWriter:
    """Writes items; nobody reads the file before it is complete and uploaded."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        # A journal would only cost time: a build that dies starts a new file.
        self._connection.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE; "
            f"PRAGMA cache_size=-{_CACHE_KIB}; BEGIN;"
        )
        self._connection.execute(ITEMS_SCHEMA)
        marks = ",".join("?" * len(ITEMS_COLUMNS))
        self._insert = f"INSERT INTO items VALUES ({marks})"  # noqa: S608

    def write(self, start: int, table: pa.Table) -> None:
        """Writes the rows from `start` on."""
        columns = [_plain(table[name].combine_chunks()) for name in STORED_COLUMNS]
        rows = range(start, start + table.num_rows)
        self._connection.executemany(self._insert, zip(rows, *columns, strict=True))

    def close(self) -> None:
        """Indexes the ids and ends the file."""
        try:
            self._connection.execute(ITEMS_INDEX)
            self._connection.execute("COMMIT")
        finally:
            self._connection.close()

    def abandon(self) -> None:
        """Ends the writing of a file that nobody will read."""
        self._connection.close()


def _plain(column: pa.Array) -> list[Any]:
    """Returns values as SQLite takes them: times as ISO 8601 in UTC, each distinct one written once."""
    if not pa.types.is_timestamp(column.type):
        return column.to_pylist()
    encoded = column.cast(pa.int64()).dictionary_encode()
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    texts = [
        None if value is None else (epoch + datetime.timedelta(microseconds=value)).isoformat()
        for value in encoded.dictionary.to_pylist()
    ]
    places = np.asarray(encoded.indices.fill_null(len(texts)))
    texts.append(None)
    return [texts[place] for place in places.tolist()]
