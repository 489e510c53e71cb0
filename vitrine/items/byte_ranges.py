"""Lines of an items file, read by ranges so that no file is held whole, and never longer than a row may be."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vitrine.errors import DeliveryError
from vitrine.storage.object_file import ByteSource

CHUNK_BYTES = 4 << 20
# A row that is longer is no row: it would be held in memory whole, several times over.
MAX_LINE_BYTES = 8 << 20


@dataclass(frozen=True)
class LocalBytes:
    """A file on this machine."""

    path: Path

    @property
    def size_bytes(self) -> int:
        """The file's size now."""
        return self.path.stat().st_size

    def read(self, start: int, length: int) -> bytes:
        """Reads one range."""
        with self.path.open("rb") as stream:
            stream.seek(start)
            return stream.read(length)


@dataclass(frozen=True)
class Unreadable:
    """Stands where a line cannot be read, and says why."""

    detail: str


def lines(source: ByteSource, *, start: int, end: int) -> Iterator[bytes | Unreadable]:
    """Yields the lines that begin in [start, end), with their line ends.

    The ranges [0, a), [a, b), [b, size) yield every line exactly once, wherever a and b fall.
    """
    # From the byte before: when it ends a line, the line that begins at `start` is known to be whole.
    position = max(0, start - 1)
    for length, line in _split(_chunks(source, position)):
        if position >= end:
            return
        if position >= start:
            yield line
        position += length


def unzipped_lines(source: ByteSource, *, max_bytes: int) -> Iterator[bytes | Unreadable]:
    """Yields the lines of a gzip file; one that is damaged or cut short ends with an `Unreadable`.

    Raises:
        DeliveryError: it holds more than `max_bytes`. Rows are never left out silently, so the whole file is refused.
    """
    for _, line in _split(_bounded(_unzip(_chunks(source, 0)), max_bytes=max_bytes)):
        yield line


def _chunks(source: ByteSource, start: int) -> Iterator[bytes]:
    # The first range is small: who looks only at the header, or for the end of a line, reads no more.
    length = 1 << 18
    while chunk := source.read(start, length):
        yield chunk
        start += len(chunk)
        length = CHUNK_BYTES


def _unzip(chunks: Iterator[bytes]) -> Iterator[bytes | Unreadable]:
    inflater, begun = zlib.decompressobj(wbits=31), False
    try:
        for chunk in chunks:
            waiting = chunk if begun else chunk.lstrip(b"\0")  # between members there may be padding
            while waiting:
                begun = True
                # Bounded, so that a file of zeros costs no more memory than any other.
                yield inflater.decompress(waiting, CHUNK_BYTES)
                waiting = inflater.unconsumed_tail
                if inflater.eof:
                    waiting = inflater.unused_data.lstrip(b"\0")
                    inflater, begun = zlib.decompressobj(wbits=31), False
        while piece := inflater.decompress(b"", CHUNK_BYTES):
            yield piece
    except zlib.error as error:
        yield Unreadable(f"the gzip stream is damaged: {error}")
        return
    if begun and not inflater.eof:
        yield Unreadable("the gzip stream is cut short")


def _bounded(chunks: Iterator[bytes | Unreadable], *, max_bytes: int) -> Iterator[bytes | Unreadable]:
    left = max_bytes
    for chunk in chunks:
        left -= 0 if isinstance(chunk, Unreadable) else len(chunk)
        if left < 0:
            raise DeliveryError(
                f"a gzip file inflates to more than {max_bytes:,} bytes (VITRINE_ITEMS_MAX_INFLATED_BYTES); deliver it "
                "in parts, or raise the setting"
            )
        yield chunk


def _split(chunks: Iterator[bytes | Unreadable]) -> Iterator[tuple[int, bytes | Unreadable]]:
    """Yields (length, line) for each line; what is longer than a line may be is counted and not held."""
    waiting: list[bytes] = []
    length = 0
    for chunk in chunks:
        if isinstance(chunk, Unreadable):
            yield length, chunk
            return
        begin = 0
        while (found := chunk.find(b"\n", begin)) >= 0:
            length += found + 1 - begin
            waiting.append(chunk[begin : found + 1])
            yield length, _line(waiting, length)
            waiting, length, begin = [], 0, found + 1
        length += len(chunk) - begin
        waiting.append(chunk[begin:])
        if length > MAX_LINE_BYTES:
            waiting = []
    if length:
        yield length, _line(waiting, length)


def _line(pieces: list[bytes], length: int) -> bytes | Unreadable:
    if length > MAX_LINE_BYTES:
        return Unreadable(f"a line of {length:,} bytes is not a row; expected at most {MAX_LINE_BYTES:,}")
    return b"".join(pieces)
