"""TIFF: entries, strips and tiles, and the scans of JPEGs inside."""

from __future__ import annotations

import struct
from operator import itemgetter, sub
from typing import Literal, NamedTuple

from vitrine.images.formats.jpeg import ORDINARY_SCANS, scans_s
from vitrine.images.formats.structure import NEVER, ORDINARY, ORDINARY_ROW_BYTES, UNUSUAL, Size, Structure

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


class _Layout(NamedTuple):
    """How a file writes its directory.

    Attributes:
        order: of the bytes, for `struct` and for `int`.
        start_at: where the directory's offset stands.
        start, number, entry: that offset, the number of entries, and one entry.
        alone: by type, how far a value that stands alone is shifted in an entry's last field, and its mask.
        is_big: whether it is a BigTIFF.
    """

    order: Literal["<", ">"]
    int_order: Literal["little", "big"]
    start_at: int
    start: struct.Struct
    number: struct.Struct
    entry: struct.Struct
    alone: dict[int, tuple[int, int]]
    is_big: bool

    @property
    def field_bytes(self) -> int:
        """Of an entry's last field."""
        return self.start.size


def _layout(order: Literal["<", ">"], *, big: bool) -> _Layout:
    start = struct.Struct(f"{order}{'Q' if big else 'I'}")
    shifts = {kind: 8 * (start.size - bytes_) if order == ">" else 0 for kind, bytes_ in ((3, 2), (4, 4))}
    return _Layout(
        order,
        "little" if order == "<" else "big",
        8 if big else 4,
        start,
        struct.Struct(f"{order}{'Q' if big else 'H'}"),
        struct.Struct(f"{order}{'HHQQ' if big else 'HHII'}"),
        {3: (shifts[3], 0xFFFF), 4: (shifts[4], 0xFFFF_FFFF)},
        big,
    )


_LAYOUTS = {
    b"II*\0": _layout("<", big=False),
    b"MM\0*": _layout(">", big=False),
    b"II+\0": _layout("<", big=True),
    b"MM\0+": _layout(">", big=True),
}
_SWAPPED = (b"II\0*", b"MM*\0", b"II\0+", b"MM+\0")  # which Pillow takes for TIFFs, too
_WIDTH, _HEIGHT, _BITS, _COMPRESSION = 256, 257, 258, 259
_SAMPLES, _ROWS_PER_STRIP, _PLANAR_CONFIGURATION = 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_OFFSETS, _BYTE_COUNTS = (273, 324), (279, 325)
_SEPARATE_PLANES = 2
_SOS = b"\xff\xda"
_COSTS = "{:,} strips or tiles of {:,} pixels together, with up to {:,} scans over {} x {} pixels"
_COPYING = "{:,} bytes read again and again, "


# Tag, type, number of values, and the field that holds them when they fit in there, else says where they lie.
_Entry = tuple[int, int, int, int]
_values = itemgetter(2)


class _Directory:
    """The first directory of a file: what it says of the picture."""

    __slots__ = ("alone", "by_tag", "data", "found", "layout")

    def __init__(self, data: bytes, layout: _Layout) -> None:
        """Reads the entries.

        Raises:
            struct.error: there is no directory.
        """
        (at,) = layout.start.unpack_from(data, layout.start_at)
        (entries,) = layout.number.unpack_from(data, at)
        first, entry_bytes = at + layout.number.size, layout.entry.size
        block = data[first : first + min(entries, 65_535) * entry_bytes]
        if cut := len(block) % entry_bytes:
            block = block[:-cut]
        self.data, self.layout, self.alone = data, layout, layout.alone
        self.found: list[_Entry] = list(layout.entry.iter_unpack(block))
        # Of known types only; of a tag that stands more than once, the largest.
        self.by_tag = {one[0]: one for one in self.found if one[1] in _TYPE_BYTES}
        if len(self.by_tag) < len(self.found):
            in_order = sorted(self.found, key=itemgetter(2, 3))
            self.by_tag = {one[0]: one for one in in_order if one[1] in _TYPE_BYTES}

    def count(self, tag: int) -> int:
        """Returns the number of a tag's values."""
        entry = self.by_tag.get(tag)
        return 0 if entry is None else entry[2]

    def number(self, tag: int, otherwise: int) -> int:
        """Returns the first value of a tag; raises as `numbers` does."""
        entry = self.by_tag.get(tag)
        if entry is None:
            return otherwise
        if entry[2] == 1 and entry[1] in self.alone:  # as almost all are
            shift, mask = self.alone[entry[1]]
            return entry[3] >> shift & mask
        first = self._read(entry, most=1)
        return first[0] if first else otherwise

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Returns the values of a tag.

        Raises:
            struct.error: they are no whole numbers, or not in the file: what Pillow makes of those is its own matter.
        """
        entry = self.by_tag.get(tag)
        if entry is None:
            return ()
        return (self.number(tag, 0),) if entry[2] == 1 else self._read(entry, most=entry[2])

    def _read(self, entry: _Entry, *, most: int) -> tuple[int, ...]:
        _, kind, values, place = entry
        if kind not in _INTEGERS or values > _MAX_STRIPS:
            raise struct.error(f"{values} values of type {kind}")
        form = f"{self.layout.order}{min(most, values)}{_INTEGERS[kind]}"
        size_bytes = values * _TYPE_BYTES[kind]
        if size_bytes <= self.layout.field_bytes:
            return struct.unpack_from(form, place.to_bytes(self.layout.field_bytes, self.layout.int_order))
        if place + size_bytes > len(self.data):
            raise struct.error(f"{size_bytes} bytes at {place} of {len(self.data)}")
        return struct.unpack_from(form, self.data, place)


def structure(data: bytes) -> Structure:
    """Counts what the first picture of the file is made of."""
    layout = _LAYOUTS.get(data[:4])
    if layout is None:
        return UNUSUAL if data[:4] in _SWAPPED else ORDINARY  # or no TIFF at all
    try:
        return _judged(_Directory(data, layout))
    except (struct.error, OverflowError):
        return UNUSUAL


def _judged(directory: _Directory) -> Structure:
    number, numbers = directory.number, directory.numbers
    size_bytes = len(directory.data)
    width, height = size = Size(number(_WIDTH, 0), number(_HEIGHT, 0))
    compression = number(_COMPRESSION, _PLAIN)
    named = directory.count(_OFFSETS[0])
    strips = max(named, directory.count(_OFFSETS[1]))
    if strips > _MAX_STRIPS:
        return Structure(False, NEVER, "more than {:,} strips or tiles", (_MAX_STRIPS,), size)
    offsets = numbers(_OFFSETS[0]) or numbers(_OFFSETS[1])
    counts = numbers(_BYTE_COUNTS[0]) or numbers(_BYTE_COUNTS[1])
    tile_width = number(_TILE_WIDTH, 0)
    planes = max(1, number(_SAMPLES, 1)) if number(_PLANAR_CONFIGURATION, 1) == _SEPARATE_PLANES else 1
    whole = max(width * height, tile_width * number(_TILE_HEIGHT, 0) * strips)
    pixels = whole
    if named:  # Pillow decodes each plain strip that is named, were it the same again and again
        rows = min(number(_ROWS_PER_STRIP, height) or height, height)
        pixels = max(whole, width * rows * strips // planes)
    overlapping = sum(counts) > 4 * size_bytes + 65_536
    work_s = strips * _STRIP_S + (pixels - width * height) * _AGAIN_PIXEL_S
    scans = 0
    if compression in (_OLD_JPEG, _JPEG):
        scans = _scans(directory.data, offsets, counts, overlapping=overlapping)
        work_s += scans_s(scans, whole)
    costs = _COSTS
    number_of: tuple[int, ...] = (strips, pixels, scans, width, height)
    if overlapping:
        copied = sum(min(count, size_bytes) for count in counts)
        work_s += copied * _COPIED_BYTE_S
        costs, number_of = _COPYING + _COSTS, (copied, *number_of)
    ordinary = (
        not overlapping
        and compression in _ORDINARY_COMPRESSIONS
        and strips <= _ORDINARY_STRIPS
        and pixels <= 2 * width * height + 1_000_000
        and not directory.layout.is_big
        and _are_plain(directory)
    )
    if ordinary and compression == _PLAIN:
        bits = numbers(_BITS) or (1,)
        pixel_bits = max(bits) if planes > 1 else sum(bits) if len(bits) > 1 else bits[0] * number(_SAMPLES, 1)
        row_bytes = max(width, tile_width) * pixel_bits // 8
        ordinary = 0 < row_bytes <= ORDINARY_ROW_BYTES and _lie_apart(offsets, row_bytes)
    return Structure(ordinary, work_s, costs, number_of, size)


def _are_plain(directory: _Directory) -> bool:
    """Says whether these are the entries that Pillow goes by, and no work by themselves.

    Of a tag that stands twice, it takes the first of a type that it knows and with values that it finds; what all
    values come to beyond the size of the file, it leaves out.
    """
    found, by_tag = directory.found, directory.by_tag
    if len(by_tag) < len(found) or len(found) > _ORDINARY_ENTRIES or not _SUB_DIRECTORIES.isdisjoint(by_tag):
        return False
    if (_OFFSETS[0] in by_tag and _OFFSETS[1] in by_tag) or (_BYTE_COUNTS[0] in by_tag and _BYTE_COUNTS[1] in by_tag):
        return False
    values = sum(map(_values, found))
    if values * _LONGEST_TYPE_BYTES > _ORDINARY_ENTRY_BYTES:
        return False
    return (
        values <= min(_ORDINARY_FRACTIONS, len(directory.data) // _LONGEST_TYPE_BYTES)  # as almost all are
        or (
            sum([entry[2] * _TYPE_BYTES[entry[1]] for entry in found]) <= len(directory.data)
            and sum([entry[2] for entry in found if entry[1] in _FRACTIONS]) <= _ORDINARY_FRACTIONS
        )
    )


def _lie_apart(offsets: tuple[int, ...], row_bytes: int) -> bool:
    """Says whether a row or more lies from each plain strip to the next.

    Pillow reads a strip in pieces as long as from its offset to the next one's, and copies what it has of a row each
    time: strips of 160,000 pixels a byte apart took 0.3 s, and that grows with the square of their width.
    """
    if len(offsets) <= 1:
        return True
    placed = sorted(offsets)
    return min(map(sub, placed[1:], placed)) >= row_bytes


def _scans(data: bytes, offsets: tuple[int, ...], counts: tuple[int, ...], *, overlapping: bool) -> int:
    """The most scans of one strip, which is as if the whole picture had as many.

    Where strips overlap, each may be the whole file: looking through each would take as long as they are many.
    """
    everywhere = data.count(_SOS)
    if everywhere <= ORDINARY_SCANS or overlapping or len(offsets) != len(counts) or not offsets:
        return everywhere
    return max(data.count(_SOS, start, start + length) for start, length in zip(offsets, counts, strict=True))
