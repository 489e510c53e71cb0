"""The items files of a delivery on this machine: hashed, and read for the images that their rows name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitrine.contracts.document import StoredFile, check_file_name
from vitrine.errors import DeliveryError
from vitrine.items.byte_ranges import CHUNK_BYTES, LocalBytes, Unreadable
from vitrine.items.files import plan_splits, read_rows
from vitrine.items.limits import ReadingLimits
from vitrine.items.sources import SourceFile
from vitrine.storage.object_store import file_sha256


@dataclass(frozen=True)
class LocalItemsFile:
    """An items file on this machine, with what it hashes to."""

    path: Path
    stored: StoredFile


def bring_items_file(file: SourceFile, scratch: Path, *, limits: ReadingLimits) -> LocalItemsFile:
    """Hashes an items file, and brings one that lies in an object store to this machine, as `scratch`.

    Raises:
        DeliveryError: its name cannot be kept, or it cannot be read.
    """
    try:
        check_file_name(file.name)
    except ValueError as error:
        raise DeliveryError(f"items file: {error}; rename it") from error
    if isinstance(file.content, LocalBytes):
        path = file.content.path
    else:
        path, position = scratch, 0
        with scratch.open("wb") as stream:
            while chunk := file.content.read(position, CHUNK_BYTES):
                stream.write(chunk)
                position += len(chunk)
    stored = StoredFile(name=file.name, size_bytes=path.stat().st_size, sha256=file_sha256(path))
    # A Parquet file without a footer has no rows that could be judged: it is refused here, before anything is recorded.
    plan_splits(LocalBytes(path), name=file.name, file_number=0, limits=limits)
    return LocalItemsFile(path, stored)


def image_uris(files: Sequence[LocalItemsFile], limits: ReadingLimits) -> Iterator[str]:
    """Yields the image URIs of all rows that can be read.

    Raises:
        DeliveryError: there are more rows than a delivery may have, or a footer claims so.
    """
    rows = 0
    for file in files:
        content = LocalBytes(file.path)
        for split in plan_splits(content, name=file.stored.name, file_number=0, limits=limits):
            _check_rows(rows + (split.rows or 0), file, limits)
            for row in read_rows(content, split, limits=limits, columns=["image_uri"]):
                rows += 1
                _check_rows(rows, file, limits)
                if not isinstance(row, Unreadable) and isinstance(uri := row.values.get("image_uri"), str):
                    yield uri


def _check_rows(rows: int, file: LocalItemsFile, limits: ReadingLimits) -> None:
    if rows > limits.items_max_rows:
        raise DeliveryError(
            f"{file.stored.name}: expected at most {limits.items_max_rows:,} rows in the delivery "
            f"(VITRINE_ITEMS_MAX_ROWS), found {rows:,} so far; deliver less, or raise the setting"
        )
