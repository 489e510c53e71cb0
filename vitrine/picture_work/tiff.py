"""TIFF: entries, strips and tiles, and the scans of JPEGs inside."""

from __future__ import annotations

import struct
from typing import Literal

from vitrine.picture_work.jpeg import ORDINARY_SCANS, scans_s
from vitrine.picture_work.structure import NEVER, ORDINARY, UNUSUAL, Size, Structure

_STRIP_S = 3e-6
_COPIED_BYTE_S = 2e-10
_ORDINARY_STRIPS = 20_000
_MAX_STRIPS = 500_000
_ORDINARY_ENTRIES = 64
_ORDINARY_ENTRY_BYTES = 4_000_000
_ORDINARY_COMPRESSIONS = {1, 5, 8, 32773, 32946}  # none, LZW, deflate, PackBits, deflate as of old
_OLD_JPEG, _JPEG = 6, 7
_SUB_DIRECTORIES = {330, 34665, 34853, 40965}
_LONGEST_TYPE_BYTES = 8
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_SHORT_BYTES = {3: 2, 4: 4}
_BYTE_ORDERS: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
# By byte order, and whether it is a BigTIFF: where the directory's offset stands, then that, its length, and an entry.
_LAYOUTS = {
    (order, big): (
        8 if big else 4,
        struct.Struct(f"{order}{'Q' if big else 'I'}"),
        struct.Struct(f"{order}{'Q' if big else 'H'}"),
        struct.Struct(f"{order}{'HHQ8s' if big else 'HHI4s'}"),
    )
    for order in "<>"
    for big in (False, True)
}
_WIDTH, _HEIGHT, _COMPRESSION = 256, 257, 259
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_OFFSETS, _BYTE_COUNTS = (273, 324), (279, 325)
_SOS = b"\xff\xda"


# Tag, type, number of values, and the values when they fit in there, else where they lie.
_Entry = tuple[int, int, int, bytes]


def structure(data: bytes) -> Structure:
    """Counts what the first picture of the file is made of."""
    order = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}.get(data[:4])
    if order is None:
        return UNUSUAL if data[:4] in (b"II\0*", b"MM*\0", b"II\0+", b"MM+\0") else ORDINARY  # or no TIFF at all
    try:
        return _judged(data, order, _entries(data, order))
    except (struct.error, OverflowError):
        return UNUSUAL


def _judged(data: bytes, order: str, entries: dict[int, _Entry]) -> Structure:
    def numbers(tag: int) -> tuple[int, ...]:
        return _integers(data, order, entries.get(tag))

    def number(tag: int, otherwise: int) -> int:
        found = numbers(tag)
        return found[0] if found else otherwise

    size = Size(number(_WIDTH, 0), number(_HEIGHT, 0))
    compression = number(_COMPRESSION, 1)
    strips = max([entries[tag][2] for tag in _OFFSETS if tag in entries], default=0)
    if strips > _MAX_STRIPS:
        return Structure(False, NEVER, f"more than {_MAX_STRIPS:,} strips or tiles", size)
    offsets = numbers(_OFFSETS[0]) or numbers(_OFFSETS[1])
    counts = numbers(_BYTE_COUNTS[0]) or numbers(_BYTE_COUNTS[1])
    tile = Size(number(_TILE_WIDTH, 0), number(_TILE_HEIGHT, 0))
    pixels = max(size.pixels, tile.pixels * strips)
    read = sum(counts)
    overlapping = read > 4 * len(data) + 65_536
    copied = sum(min(count, len(data)) for count in counts) if overlapping else 0
    scans = 0
    if compression in (_OLD_JPEG, _JPEG):
        scans = _scans(data, offsets, counts)
    work_s = strips * _STRIP_S + copied * _COPIED_BYTE_S + scans_s(scans, pixels)
    found = f"{copied:,} bytes read again and again, " if overlapping else ""
    found += f"{strips:,} strips or tiles, with up to {scans:,} scans over {size.width} x {size.height} pixels"
    ordinary = (
        not overlapping
        and compression in _ORDINARY_COMPRESSIONS
        and strips <= _ORDINARY_STRIPS
        and not _SUB_DIRECTORIES & entries.keys()
        and len(entries) <= _ORDINARY_ENTRIES
        and sum([entry[2] for entry in entries.values()]) * _LONGEST_TYPE_BYTES <= _ORDINARY_ENTRY_BYTES
        and pixels <= 2 * size.pixels + 1_000_000
        and data[2:4] in (b"*\0", b"\0*")
    )
    return Structure(ordinary, work_s, found, size)


def _scans(data: bytes, offsets: tuple[int, ...], counts: tuple[int, ...]) -> int:
    """The most scans of one strip, which is as if the whole picture had as many."""
    everywhere = data.count(_SOS)
    if everywhere <= ORDINARY_SCANS or len(offsets) != len(counts) or not offsets:
        return everywhere
    return max(data.count(_SOS, start, start + length) for start, length in zip(offsets, counts, strict=True))


def _entries(data: bytes, order: str) -> dict[int, _Entry]:
    """Reads the entries of the first directory by their tags."""
    start_at, start, count, entry = _LAYOUTS[order, data[2:4] in (b"+\0", b"\0+")]
    (directory,) = start.unpack_from(data, start_at)
    (entries,) = count.unpack_from(data, directory)
    first = directory + count.size
    whole = min(entries, 65_535, max(0, len(data) - first) // entry.size)
    found = list(entry.iter_unpack(data[first : first + whole * entry.size]))
    return {one[0]: one for one in reversed(found)}  # of a tag, the first counts


def _integers(data: bytes, order: str, entry: _Entry | None) -> tuple[int, ...]:
    if entry is None:
        return ()
    _, kind, values, place = entry
    if values == 1 and kind in _SHORT_BYTES:  # as almost all are
        return (int.from_bytes(place[: _SHORT_BYTES[kind]], _BYTE_ORDERS[order]),)
    if kind not in _INTEGERS or values > _MAX_STRIPS:
        return ()
    form = f"{order}{values}{_INTEGERS[kind]}"
    size_bytes = struct.calcsize(form)
    if size_bytes <= len(place):
        return struct.unpack_from(form, place)
    at = int.from_bytes(place, _BYTE_ORDERS[order])
    return struct.unpack_from(form, data, at) if at + size_bytes <= len(data) else ()
