"""The images that a delivery refers to and what marks the content of each, kept in a file: it may not fit memory."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from posixpath import commonpath

import pyarrow as pa
import pyarrow.parquet as pq

MARKS_PER_GROUP = 50_000


class ImageListing:
    """Distinct images by their path, each with a mark that changes with its bytes, or with none: it was not found."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("CREATE TABLE images (path TEXT PRIMARY KEY, mark TEXT) WITHOUT ROWID")

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM images WHERE mark IS NOT NULL").fetchone()[0])

    def is_empty(self) -> bool:
        """Tells whether there are no images, found or not."""
        return self._connection.execute("SELECT 1 FROM images LIMIT 1").fetchone() is None

    def __contains__(self, path: str) -> bool:
        return self._connection.execute("SELECT 1 FROM images WHERE path = ?", (path,)).fetchone() is not None

    def add(self, images: Iterable[tuple[str, str | None]]) -> None:
        """Adds images; those that are there stay as they are."""
        self._connection.executemany("INSERT OR IGNORE INTO images VALUES (?, ?)", images)

    def mark(self, images: Iterable[tuple[str, str]]) -> None:
        """Marks the images that were added; others are left out."""
        self._connection.executemany("UPDATE images SET mark = ?2 WHERE path = ?1", images)

    def marked(self) -> Iterator[tuple[str, str]]:
        """Yields (path, mark) of the images that were found, in order of the paths."""
        return iter(self._connection.execute("SELECT path, mark FROM images WHERE mark IS NOT NULL ORDER BY path"))

    def entries(self) -> Iterator[tuple[str, str | None]]:
        """Yields (path, mark) of all images, found or not, in order of the paths."""
        return iter(self._connection.execute("SELECT path, mark FROM images ORDER BY path"))

    def paths(self) -> Iterator[str]:
        """Yields the paths of all images, found or not, in order."""
        for (path,) in self._connection.execute("SELECT path FROM images ORDER BY path"):
            yield path

    def paths_after(self, path: str, *, count: int) -> list[str]:
        """Returns the first paths that come after one; the listing may be changed before the next are asked for."""
        found = self._connection.execute("SELECT path FROM images WHERE path > ? ORDER BY path LIMIT ?", (path, count))
        return [name for (name,) in found]

    def common_folder(self) -> str | None:
        """Returns the innermost folder that holds all paths, or the one path; None when there are no paths."""
        first, last = self._connection.execute("SELECT min(path), max(path) FROM images").fetchone()
        return None if first is None else commonpath([first, last])

    def digest(self) -> str:
        """Returns the SHA-256 over (path, mark) of every image that was found, in order of the paths."""
        digest = hashlib.sha256()
        for path, mark in self.marked():
            digest.update(f"{path}\0{mark}\n".encode())
        return digest.hexdigest()


@contextmanager
def image_listing(path: Path | str = ":memory:") -> Iterator[ImageListing]:
    """Yields an empty listing in a file of its own, which is made at `path`; in memory where none is named."""
    with closing(sqlite3.connect(path)) as connection:
        yield ImageListing(connection)


def marks_schema() -> pa.Schema:
    """An image's absolute URI, and its mark: the empty text where nothing lay, `?` where access was denied."""
    return pa.schema([pa.field("image_uri", pa.string()), pa.field("image_mark", pa.string())])


def write_marks(marks: Iterable[tuple[str, str | None]], path: Path) -> int:
    """Writes (absolute URI, mark) as Parquet, a row group at a time; returns how many there were."""
    source, rows = iter(marks), 0
    with pq.ParquetWriter(path, marks_schema(), compression="zstd") as writer:
        while batch := list(islice(source, MARKS_PER_GROUP)):
            columns = [[uri for uri, _ in batch], [mark or "" for _, mark in batch]]
            writer.write_table(pa.table(columns, schema=marks_schema()))
            rows += len(batch)
    return rows
