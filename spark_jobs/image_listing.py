"""The images that a delivery refers to and what marks the content of each, kept in a file: it may not fit memory."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from posixpath import commonpath


class ImageListing:
    """Distinct images by their path, each with a mark that changes with its bytes, or with none: it was not found."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("CREATE TABLE images (path TEXT PRIMARY KEY, mark TEXT) WITHOUT ROWID")

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM images WHERE mark IS NOT NULL").fetchone()[0])

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

    def paths(self) -> Iterator[str]:
        """Yields the paths of all images, found or not, in order."""
        for (path,) in self._connection.execute("SELECT path FROM images ORDER BY path"):
            yield path

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
def image_listing() -> Iterator[ImageListing]:
    """Yields an empty listing; its file is gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="vitrine-delivery-") as scratch,
        closing(sqlite3.connect(Path(scratch) / "images.sqlite")) as connection,
    ):
        yield ImageListing(connection)
