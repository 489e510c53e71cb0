"""Objects read by ranges, as seekable files too: Parquet readers fetch only the columns and row groups they need."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vitrine.errors import ContractError
from vitrine.storage.object_store import ObjectStore

if TYPE_CHECKING:
    import pyarrow.parquet as pq


class ByteSource(Protocol):
    """Something with a size that can be read by ranges."""

    @property
    def size_bytes(self) -> int:
        """All the bytes there are."""

    def read(self, start: int, length: int) -> bytes:
        """Returns `length` bytes from `start`; fewer only at the end."""


@dataclass(frozen=True)
class StoredBytes:
    """An object, whose size is known.

    Attributes:
        etag: of the object that is meant; None reads whatever lies there, which in the platform's bucket never changes.
    """

    store: ObjectStore
    key: str
    size_bytes: int
    etag: str | None = None

    @classmethod
    def of(cls, store: ObjectStore, key: str) -> StoredBytes:
        """Asks the store for the size.

        Raises:
            ObjectMissingError: the key does not exist.
        """
        return cls(store, key, store.size_bytes(key))

    def read(self, start: int, length: int) -> bytes:
        """Reads one range with one request.

        Raises:
            ObjectChangedError: the object has another ETag by now.
        """
        length = min(length, self.size_bytes - start)
        return self.store.get_bytes(self.key, start=start, length=length, etag=self.etag) if length > 0 else b""


class RangeFile(io.RawIOBase):
    """A `ByteSource` as a seekable, read-only file; each read is one range."""

    def __init__(self, source: ByteSource) -> None:
        super().__init__()
        self._source = source
        self._size_bytes = source.size_bytes
        self._position = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Returns the position, in bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves the position; nothing is read."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Reads `size` bytes from the position, or all that follow."""
        left = max(0, self._size_bytes - self._position)
        length = left if size is None or size < 0 else min(size, left)
        data = self._source.read(self._position, length) if length else b""
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        """Reads all that follows the position."""
        return self.read()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fills `buffer`, returns how many bytes it got."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def open_parquet(object_store: ObjectStore, key: str) -> pq.ParquetFile:
    """Opens a Parquet object; only its footer is read.

    Raises:
        ObjectMissingError: the key does not exist.
        ContractError: the object is no Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = RangeFile(StoredBytes.of(object_store, key))
    try:
        return pq.ParquetFile(source, pre_buffer=True)
    except pa.ArrowInvalid as error:
        raise ContractError(f"s3://{object_store.bucket}/{key}: expected a Parquet file, found: {error}") from error
