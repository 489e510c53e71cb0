"""TIFF: entries, strips and tiles, and the scans of JPEGs inside."""

from __future__ import annotations

import struct
from operator import sub
from typing import Literal

from vitrine.picture_work.jpeg import ORDINARY_SCANS, scans_s
from vitrine.picture_work.structure import NEVER, ORDINARY, ORDINARY_ROW_BYTES, UNUSUAL, Size, Structure

_STRIP_S = 3e-6
_COPIED_BYTE_S = 2e-10
_AGAIN_PIXEL_S = 5e-10  # of what is decoded beyond the picture, uncompressed
_ORDINARY_STRIPS = 20_000
_MAX_STRIPS = 500_000
_ORDINARY_ENTRIES = 64
_ORDINARY_ENTRY_BYTES = 4_000_000
_ORDINARY_FRACTIONS = 1_000  # files have about 20; Pillow makes an object of each, 2 µs
_ORDINARY_COMPRESSIONS = {1, 5, 8, 32773, 32946}  # none, LZW, deflate, PackBits, old-style deflate
_PLAIN = 1
_OLD_JPEG, _JPEG = 6, 7
_SUB_DIRECTORIES = {330, 34665, 34853, 40965}
_LONGEST_TYPE_BYTES = 8
# Of the types that Pillow reads: of an entry of another type it takes no notice.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_FRACTIONS = {5, 10}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
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
_WIDTH, _HEIGHT, _BITS, _COMPRESSION = 256, 257, 258, 259
_SAMPLES, _ROWS_PER_STRIP, _PLANAR_CONFIGURATION = 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_OFFSETS, _BYTE_COUNTS = (273, 324), (279, 325)
_SEPARATE_PLANES = 2
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


def _judged(data: bytes, order: str, found: list[_Entry]) -> Structure:
    entries = _by_tag(found, order)

    def numbers(tag: int) -> tuple[int, ...]:
        return _integers(data, order, entries.get(tag))

    def number(tag: int, otherwise: int) -> int:
        first = _integers(data, order, entries.get(tag), most=1)
        return first[0] if first else otherwise

    size = Size(number(_WIDTH, 0), number(_HEIGHT, 0))
    compression = number(_COMPRESSION, _PLAIN)
    strips = max([entries[tag][2] for tag in _OFFSETS if tag in entries], default=0)
    if strips > _MAX_STRIPS:
        return Structure(False, NEVER, f"more than {_MAX_STRIPS:,} strips or tiles", size)
    offsets = numbers(_OFFSETS[0]) or numbers(_OFFSETS[1])
    counts = numbers(_BYTE_COUNTS[0]) or numbers(_BYTE_COUNTS[1])
    tile = Size(number(_TILE_WIDTH, 0), number(_TILE_HEIGHT, 0))
    planes = max(1, number(_SAMPLES, 1)) if number(_PLANAR_CONFIGURATION, 1) == _SEPARATE_PLANES else 1
    whole = max(size.pixels, tile.pixels * strips)
    pixels = whole
    if _OFFSETS[0] in entries:  # Pillow decodes each plain strip that is named, were it the same one again and again
        rows = min(number(_ROWS_PER_STRIP, size.height) or size.height, size.height)
        pixels = max(whole, size.width * rows * strips // planes)
    read = sum(counts)
    overlapping = read > 4 * len(data) + 65_536
    copied = sum(min(count, len(data)) for count in counts) if overlapping else 0
    scans = 0
    if compression in (_OLD_JPEG, _JPEG):
        scans = _scans(data, offsets, counts, overlapping=overlapping)
    again = max(0, pixels - size.pixels)
    work_s = strips * _STRIP_S + copied * _COPIED_BYTE_S + again * _AGAIN_PIXEL_S + scans_s(scans, whole)
    what = f"{copied:,} bytes read again and again, " if overlapping else ""
    what += f"{strips:,} strips or tiles of {pixels:,} pixels together, "
    what += f"with up to {scans:,} scans over {size.width} x {size.height} pixels"
    ordinary = (
        not overlapping
        and compression in _ORDINARY_COMPRESSIONS
        and strips <= _ORDINARY_STRIPS
        and pixels <= 2 * size.pixels + 1_000_000
        and data[2:4] in (b"*\0", b"\0*")
        and _are_plain(found, entries, len(data))
    )
    if ordinary and compression == _PLAIN:
        bits = numbers(_BITS) or (1,)
        pixel_bits = max(bits) if planes > 1 else sum(bits) if len(bits) > 1 else bits[0] * number(_SAMPLES, 1)
        row_bytes = max(size.width, tile.width) * pixel_bits // 8
        ordinary = row_bytes <= ORDINARY_ROW_BYTES and _lie_apart(offsets, row_bytes)
    return Structure(ordinary, work_s, what, size)


def _are_plain(found: list[_Entry], entries: dict[int, _Entry], size_bytes: int) -> bool:
    """Says whether these are the entries that Pillow goes by, and no work by themselves.

    Of a tag that stands twice, it takes the first of a type that it knows and with values that it finds; what all
    values come to beyond the size of the file, it leaves out.
    """
    if len(entries) < len(found) or len(found) > _ORDINARY_ENTRIES or _SUB_DIRECTORIES & entries.keys():
        return False
    if (_OFFSETS[0] in entries and _OFFSETS[1] in entries) or (
        _BYTE_COUNTS[0] in entries and _BYTE_COUNTS[1] in entries
    ):
        return False
    return (
        sum([entry[2] for entry in found]) * _LONGEST_TYPE_BYTES <= _ORDINARY_ENTRY_BYTES
        and sum([entry[2] * _TYPE_BYTES[entry[1]] for entry in found]) <= size_bytes
        and sum([entry[2] for entry in found if entry[1] in _FRACTIONS]) <= _ORDINARY_FRACTIONS
    )


def _lie_apart(offsets: tuple[int, ...], row_bytes: int) -> bool:
    """Says whether a row or more lies from each plain strip to the next.

    Pillow reads a strip in pieces as long as from its offset to the next one's, and copies what it has of a row each
    time: strips of 160,000 pixels a byte apart took 0.3 s, and that grows with the square of their width.
    """
    placed = sorted(offsets)
    return min(map(sub, placed[1:], placed), default=row_bytes) >= max(1, row_bytes)


def _scans(data: bytes, offsets: tuple[int, ...], counts: tuple[int, ...], *, overlapping: bool) -> int:
    """The most scans of one strip, which is as if the whole picture had as many.

    Where strips overlap, each may be the whole file: looking through each would take as long as they are many.
    """
    everywhere = data.count(_SOS)
    if everywhere <= ORDINARY_SCANS or overlapping or len(offsets) != len(counts) or not offsets:
        return everywhere
    return max(data.count(_SOS, start, start + length) for start, length in zip(offsets, counts, strict=True))


def _entries(data: bytes, order: str) -> list[_Entry]:
    """Reads the entries of the first directory."""
    start_at, start, count, entry = _LAYOUTS[order, data[2:4] in (b"+\0", b"\0+")]
    (directory,) = start.unpack_from(data, start_at)
    (entries,) = count.unpack_from(data, directory)
    first = directory + count.size
    whole = min(entries, 65_535, max(0, len(data) - first) // entry.size)
    return list(entry.iter_unpack(data[first : first + whole * entry.size]))


def _by_tag(found: list[_Entry], order: str) -> dict[int, _Entry]:
    """Returns the entries of known types by their tags; of a tag that stands more than once, the largest."""
    entries = {one[0]: one for one in found if one[1] in _TYPE_BYTES}
    if len(entries) == len(found):
        return entries
    found = sorted(found, key=lambda one: (one[2], int.from_bytes(one[3], _BYTE_ORDERS[order])))
    return {one[0]: one for one in found if one[1] in _TYPE_BYTES}


def _integers(data: bytes, order: str, entry: _Entry | None, *, most: int | None = None) -> tuple[int, ...]:
    """Reads the values of an entry, or the first `most` of them.

    Raises:
        struct.error: they are no whole numbers, or not in the file: what Pillow makes of those is its own matter.
    """
    if entry is None:
        return ()
    _, kind, values, place = entry
    if values == 1 and kind in _SHORT_BYTES:  # as almost all are
        return (int.from_bytes(place[: _SHORT_BYTES[kind]], _BYTE_ORDERS[order]),)
    if kind not in _INTEGERS or values > _MAX_STRIPS:
        raise struct.error(f"{values} values of type {kind}")
    read = values if most is None else min(most, values)
    form = f"{order}{read}{_INTEGERS[kind]}"
    size_bytes = values * _TYPE_BYTES[kind]
    if size_bytes <= len(place):
        return struct.unpack_from(form, place)
    at = int.from_bytes(place, _BYTE_ORDERS[order])
    if at + size_bytes > len(data):
        raise struct.error(f"{size_bytes} bytes at {at} of {len(data)}")
    return struct.unpack_from(form, data, at)
