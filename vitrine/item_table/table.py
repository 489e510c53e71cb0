"""The item table of a release: point reads of items by SQLite, filter columns as memory-mapped arrays."""

from __future__ import annotations

import datetime
import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from vitrine.contracts.items import PackedImage
from vitrine.contracts.releases import ItemTable as ItemTableManifest
from vitrine.errors import ContractError
from vitrine.item_table.columns import FilterColumn, open_columns
from vitrine.item_table.filter_cache import FilterCache
from vitrine.item_table.filters import filter_rows
from vitrine.item_table.groups import GroupKind, RowGroups, open_groups
from vitrine.row_arrays.row_sets import RowSet

ITEMS_FILE = "items.sqlite"

_PICTURE_COLUMNS = ("image_sha256", "image_format", "pack_id", "image_offset", "image_size_bytes")
# `row` is the row of the index version; times are ISO 8601 in UTC, attributes a JSON object.
ITEMS_COLUMNS = (
    "row",
    "item_id",
    "title",
    "description",
    "category",
    "parent_id",
    "brand",
    "color",
    "price",
    "in_stock",
    "created_at",
    "attributes",
    *_PICTURE_COLUMNS,
    "width",
    "height",
)
ITEMS_SCHEMA = """
CREATE TABLE items (
    row INTEGER PRIMARY KEY, item_id TEXT NOT NULL,
    title TEXT, description TEXT, category TEXT, parent_id TEXT, brand TEXT, color TEXT,
    price REAL, in_stock INTEGER, created_at TEXT, attributes TEXT NOT NULL,
    image_sha256 TEXT, image_format TEXT, pack_id TEXT, image_offset INTEGER, image_size_bytes INTEGER,
    width INTEGER, height INTEGER
)
"""
ITEMS_INDEX = "CREATE UNIQUE INDEX items_by_item_id ON items (item_id)"

# Of the rows that filters matched before: at 10 million rows a condition takes 1.25 MB.
FILTER_CACHE_BYTES = 64_000_000

_VARIABLES = 500  # of one statement; SQLite's own limit is 32,766, and 999 in old builds


@dataclass(frozen=True)
class StoredPicture(PackedImage):
    """The picture of an item: where its bytes lie, and their format (JPEG, PNG, WEBP, GIF, ...)."""

    format: str


@dataclass(frozen=True)
class StoredItem:
    """What the item table holds of one item; None where the catalog does not say.

    Attributes:
        picture: None where none is stored, as of most items that bring their own vectors.
    """

    row: int
    item_id: str
    title: str | None
    description: str | None
    category: str | None
    parent_id: str | None
    brand: str | None
    color: str | None
    price: float | None
    in_stock: bool | None
    created_at: datetime.datetime | None
    attributes: dict[str, Any]
    width: int | None
    height: int | None
    picture: StoredPicture | None


class ItemTable:
    """One opened item table; thread-safe.

    Attributes:
        manifest: the table's manifest.
        columns: filter columns by name.
        groups: groupings of rows by kind; none in tables of before.
    """

    def __init__(
        self,
        folder: Path,
        manifest: ItemTableManifest,
        columns: Mapping[str, FilterColumn],
        groups: Mapping[GroupKind, RowGroups],
    ) -> None:
        self.manifest = manifest
        self.columns = dict(columns)
        self.groups = dict(groups)
        self._filter_cache = FilterCache(FILTER_CACHE_BYTES)
        self._database = f"file:{quote(str((folder / ITEMS_FILE).resolve()))}?mode=ro&immutable=1"
        self._connections = threading.local()

    @classmethod
    def open(cls, folder: Path, manifest: ItemTableManifest) -> ItemTable:
        """Opens the files of an item table that lie under `folder` by their names in the manifest.

        Raises:
            ContractError: a file is missing, or does not hold what the manifest says.
        """
        if not (folder / ITEMS_FILE).is_file():
            raise ContractError(f"{folder / ITEMS_FILE}: expected an item table, found none; fetch it again")
        columns = open_columns(folder, dict(manifest.columns), items=manifest.items)
        table = cls(folder, manifest, columns, open_groups(folder, manifest.groups, items=manifest.items))
        # Rows are numbered from 0 without gaps, as the build checked: counting them would read the whole file.
        found = table._read("SELECT COALESCE(MAX(row), -1) + 1 FROM items", ())[0][0]
        if found != manifest.items:
            raise ContractError(
                f"item table {manifest.item_table_id} at {folder}: expected {manifest.items} items, found {found}"
            )
        return table

    @property
    def items_count(self) -> int:
        """The number of items, which is the number of rows of the index version."""
        return self.manifest.items

    def rows_by_item_id(self, item_ids: Iterable[str]) -> dict[str, int]:
        """Returns the rows of those item ids that exist."""
        wanted = list(dict.fromkeys(item_ids))
        found: dict[str, int] = {}
        for batch in _batches(wanted):
            marks = ",".join("?" * len(batch))
            found.update(self._read(f"SELECT item_id, row FROM items WHERE item_id IN ({marks})", batch))  # noqa: S608
        return found

    def items(self, rows: Sequence[int] | NDArray[np.int64]) -> list[StoredItem]:
        """Returns the items of rows, in the order given.

        Raises:
            ContractError: a row does not exist.
        """
        wanted = [int(row) for row in rows]
        found: dict[int, StoredItem] = {}
        for batch in _batches(list(dict.fromkeys(wanted))):
            marks = ",".join("?" * len(batch))
            names = ", ".join(ITEMS_COLUMNS)
            for values in self._read(f"SELECT {names} FROM items WHERE row IN ({marks})", batch):  # noqa: S608
                found[values[0]] = _item(values)
        missing = [row for row in wanted if row not in found]
        if missing:
            raise ContractError(
                f"item table {self.manifest.item_table_id}: expected rows from 0 to {self.manifest.items - 1}, "
                f"found {missing[:5]}"
            )
        return [found[row] for row in wanted]

    def item(self, item_id: str) -> StoredItem | None:
        """Returns one item, or None."""
        row = self.rows_by_item_id([item_id]).get(item_id)
        return None if row is None else self.items([row])[0]

    def item_ids_by(self, column: str, values: Iterable[str]) -> dict[str, list[str]]:
        """Returns the item ids that have one of `values` in a text column, by value; reads the whole table once.

        Raises:
            ContractError: the table has no such column.
        """
        if column not in ITEMS_COLUMNS:
            raise ContractError(f"item table: there is no column {column!r}; columns: {', '.join(ITEMS_COLUMNS)}")
        found: dict[str, list[str]] = {}
        wanted = list(dict.fromkeys(values))
        for batch in _batches(wanted):
            marks = ",".join("?" * len(batch))
            statement = f"SELECT {column}, item_id FROM items WHERE {column} IN ({marks}) ORDER BY row"  # noqa: S608
            for value, item_id in self._read(statement, batch):
                found.setdefault(value, []).append(item_id)
        return found

    def rows_shared_with(self, other: ItemTable) -> NDArray[np.int64]:
        """Returns the rows, ascending, of the items that another table holds too."""
        connection = sqlite3.connect(self._database, uri=True)
        try:
            connection.execute("ATTACH DATABASE ? AS other", (other._database,))
            shared = connection.execute(
                "SELECT row FROM main.items WHERE item_id IN (SELECT item_id FROM other.items) ORDER BY row"
            )
            return np.fromiter((row for (row,) in shared), dtype=np.int64)
        except sqlite3.Error as error:
            raise ContractError(f"item table {self.manifest.item_table_id}: {error}; fetch it again") from error
        finally:
            connection.close()

    def filter_rows(self, filters: Mapping[str, Any] | None) -> RowSet | None:
        """Returns the rows that a request's `filters` allow; None when nothing is filtered.

        Raises:
            RequestError: a filter names no column, or does not fit its kind; the message says what exists.
        """
        return filter_rows(filters, self.columns, cache=self._filter_cache)

    def close(self) -> None:
        """Closes the connection of the calling thread; those of other threads close as the threads end."""
        connection = getattr(self._connections, "opened", None)
        if connection is not None:
            connection.close()
            self._connections.opened = None

    def _read(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        connection = getattr(self._connections, "opened", None)
        try:
            if connection is None:
                connection = sqlite3.connect(self._database, uri=True)
                self._connections.opened = connection
            return connection.execute(statement, tuple(parameters)).fetchall()
        except sqlite3.Error as error:
            raise ContractError(f"item table {self.manifest.item_table_id}: {error}; fetch it again") from error


def _item(values: tuple[Any, ...]) -> StoredItem:
    fields = dict(zip(ITEMS_COLUMNS, values, strict=True))
    fields["in_stock"] = None if fields["in_stock"] is None else bool(fields["in_stock"])
    fields["attributes"] = json.loads(fields["attributes"])
    if fields["created_at"] is not None:
        fields["created_at"] = datetime.datetime.fromisoformat(fields["created_at"])
    picture = _picture(*(fields.pop(name) for name in _PICTURE_COLUMNS))
    return StoredItem(**fields, picture=picture)


def _picture(
    sha256: str | None, image_format: str | None, pack_id: str | None, offset: int | None, size_bytes: int | None
) -> StoredPicture | None:
    if sha256 is None or pack_id is None or offset is None or not size_bytes:
        return None
    return StoredPicture(sha256, pack_id, offset, size_bytes, format=image_format or "")


def _batches(values: list[Any]) -> Iterable[list[Any]]:
    return (values[start : start + _VARIABLES] for start in range(0, len(values), _VARIABLES))
