"""Small files of a training or of a report in the object store, each under its own hash below a prefix.

Two attempts may write files that differ in a detail; the document that is committed names those that belong together.
"""

from __future__ import annotations

from pathlib import Path

from vitrine.contracts.document import StoredFile
from vitrine.identity import ID_LENGTH
from vitrine.storage.object_store import ObjectStore, file_sha256


def store_file(object_store: ObjectStore, path: Path, *, prefix: str) -> StoredFile:
    """Uploads a file unless it is there, and says what it is."""
    file = StoredFile(name=path.name, size_bytes=path.stat().st_size, sha256=file_sha256(path))
    key = stored_key(file, prefix=prefix)
    if not object_store.exists(key):
        object_store.put_file(key, path)
    return file


def fetch_files(object_store: ObjectStore, files: tuple[StoredFile, ...], *, prefix: str, into: Path) -> Path:
    """Brings files into a folder, checked by SHA-256.

    Raises:
        ObjectCorruptError: a file differs from its recorded SHA-256.
    """
    into.mkdir(parents=True, exist_ok=True)
    for file in files:
        object_store.get_file(stored_key(file, prefix=prefix), into / file.name, sha256=file.sha256)
    return into


def stored_key(file: StoredFile, *, prefix: str) -> str:
    """Returns where a file lies."""
    return f"{prefix}/{file.sha256[:ID_LENGTH]}/{file.name}"
