"""JPEG and MPO: segments before the picture, and scans over it.

A progressive JPEG goes over all its pixels once for each scan, and a scan may be 31 bytes long: a file of 110 kB with
500 scans took 9.7 s.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from itertools import islice

from vitrine.images.formats.structure import NEVER, Size, Structure, is_plain_exif

ORDINARY_SCANS = 20  # encoders write 1 to 12
SCAN_S = 1.5e-9  # for each pixel: a refining scan over 16 million of them, libjpeg-turbo 3.2
_EACH_SCAN_S = 1e-5  # whatever the size: its tables are built anew
_MAX_SCANS = 2_000

_ORDINARY_SEGMENTS = 256  # colour profiles and depth maps stand in up to 200
_MAX_SEGMENTS = 2_000
_ORDINARY_JUNK = 64
_MAX_JUNK = 65_536  # Pillow steps over it byte by byte, in Python
_MAX_EXIF_SEGMENTS = 16  # Pillow joins them, each time by copying all so far
_ORDINARY_PHOTOSHOP = 4  # Pillow reads their blocks in Python
_ORDINARY_QUANTIZATION_BYTES = 16_384  # encoders write up to 520; Pillow reads each table in Python
_MAX_QUANTIZATION_BYTES = 1_000_000
_MAX_BETWEEN = 20_000  # segments between scans

_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_HUFFMAN = {0xC0, 0xC1, 0xC2}  # the others are lossless, hierarchical or arithmetic: nobody sends them
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xDA)}
_WITH_LENGTH = {*range(0xC0, 0xC8), *range(0xC9, 0xD0), *range(0xDA, 0xF0), 0xFE}
_UNREAD = frozenset({0xC4, 0xDD, 0xE0, 0xFE})  # of which nothing but their number matters
_SOS, _EOI, _DQT = 0xDA, 0xD9, 0xDB
_SOS_BYTES = re.compile(rb"\xff\xda")  # `bytes.count` takes three times as long
# The last fill byte and what follows it: `\xff+` would try each fill byte of a run anew, up to the end of the run.
_AFTER_SCAN = re.compile(rb"\xff([^\x00\xff\x01\xd0-\xd7])")
_NOT_FILL = re.compile(rb"[^\xff]")
_UNKNOWN = Size(0, 0)


@dataclass
class _Header:
    """What stands before the first scan."""

    size: Size = _UNKNOWN
    coding: int | None = None
    segments: int = 0
    junk: int = 0
    exif: int = 0
    photoshop: int = 0
    quantization_bytes: int = 0
    plain: bool = True
    first_scan: int = -1


def structure(data: bytes) -> Structure:
    """Counts segments and scans."""
    header = _read_header(data)
    if (excess := _excess(header)) is not None:
        return Structure(False, NEVER, excess, size=header.size)
    ordinary = (
        header.plain
        and header.coding in (None, *_HUFFMAN)
        and header.segments <= _ORDINARY_SEGMENTS
        and header.junk <= _ORDINARY_JUNK
        and header.exif <= 1
        and header.photoshop <= _ORDINARY_PHOTOSHOP
        and header.quantization_bytes <= _ORDINARY_QUANTIZATION_BYTES
    )
    scans = 0 if header.first_scan < 0 else _at_most_scans(data, header.first_scan)
    if scans > ORDINARY_SCANS:  # what follows the picture, as phones' films do, holds such bytes, too
        scans = count_scans(data, header.first_scan)
    width, height = header.size
    work_s = scans_s(scans, -(-width // 8) * 8 * (-(-height // 8) * 8))
    costs = "{:,} scans over {} x {} pixels"
    return Structure(ordinary and scans <= ORDINARY_SCANS, work_s, costs, (scans, width, height), header.size)


def scans_s(scans: int, pixels: int) -> float:
    """Returns what as many scans over as many pixels cost, in CPU seconds."""
    return NEVER if scans > _MAX_SCANS else scans * (pixels * SCAN_S + _EACH_SCAN_S)


def count_scans(data: bytes, start: int, end: int | None = None) -> int:
    """Counts the scans from the first one, at `start`, to the end of the picture; above the limit it stops."""
    end = len(data) if end is None else end
    scans, between, at = 0, 0, start
    while at + 4 <= end and scans <= _MAX_SCANS:
        marker = data[at + 1]
        if marker == _EOI:
            break
        if marker in _WITHOUT_LENGTH:
            at += 2
        else:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
        scans += marker == _SOS
        between += 1
        if between > _MAX_BETWEEN:
            return _MAX_SCANS + 1
        following = _AFTER_SCAN.search(data, at, end)
        if following is None:
            break
        at = following.start(1) - 1
    return scans


def _at_most_scans(data: bytes, start: int) -> int:
    """Returns an upper bound of the scans; above what is ordinary it stops."""
    return len(list(islice(_SOS_BYTES.finditer(data, start), ORDINARY_SCANS + 1)))


def _excess(header: _Header) -> str | None:
    """Returns what there is too much of, whatever the picture."""
    if header.segments > _MAX_SEGMENTS:
        return f"more than {_MAX_SEGMENTS:,} segments before the picture"
    if header.junk > _MAX_JUNK:
        return f"more than {_MAX_JUNK:,} bytes between segments"
    if header.exif > _MAX_EXIF_SEGMENTS:
        return f"{header.exif:,} segments of EXIF"
    if header.quantization_bytes > _MAX_QUANTIZATION_BYTES:
        return f"{header.quantization_bytes:,} bytes of quantization tables"
    return None


def _read_header(data: bytes) -> _Header:
    """Walks from segment to segment as Pillow does, to the first scan, the end, or too much of anything."""
    header = _Header()
    at = 2
    while at + 2 <= len(data) and header.segments <= _MAX_SEGMENTS and header.junk <= _MAX_JUNK:
        if data[at] == 0xFF and data[at + 1] in _UNREAD and at + 4 <= len(data):  # most are: the rest is for the others
            header.segments += 1
            at += 2 + max(2, data[at + 2] << 8 | data[at + 3])
            continue
        if data[at] != 0xFF:
            following = data.find(b"\xff", at)
            header.junk += (len(data) if following < 0 else following) - at
            if following < 0:
                break
            at = following
            continue
        marker = data[at + 1]
        if marker == 0xFF:
            after = _NOT_FILL.search(data, at)
            fill = (len(data) if after is None else after.start()) - at - 1
            header.junk += fill
            at += fill
        elif marker in _WITH_LENGTH:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            if marker == _SOS:
                header.first_scan = at
                break
            header.segments += 1
            _note(header, marker, data, at + 4, at + 2 + length)
            at += 2 + max(2, length)
        else:
            header.junk += 2
            at += 2
    return header


def _note(header: _Header, marker: int, data: bytes, start: int, end: int) -> None:
    """Notes what one segment says."""
    if marker in _SOF:
        if min(end, len(data)) - start >= 6:
            height, width = struct.unpack_from(">HH", data, start + 1)
            if width * height >= header.size.pixels:
                header.size = Size(width, height)
        header.plain &= header.coding is None
        header.coding = marker
    elif marker == _DQT:
        header.quantization_bytes += end - start
    elif marker == 0xE1 and data.startswith(b"Exif\0\0", start, end):
        header.exif += 1
        header.plain &= is_plain_exif(data[start + 6 : end])
    elif marker == 0xE2 and data.startswith(b"MPF\0", start, end):
        header.plain &= is_plain_exif(data[start + 4 : end])
    elif marker == 0xED:
        header.photoshop += 1
