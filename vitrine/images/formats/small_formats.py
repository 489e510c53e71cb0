"""WebP, GIF and BMP: chunks, blocks and runs."""

from __future__ import annotations

import re
import struct

from vitrine.images.formats.structure import (
    NEVER,
    ORDINARY,
    ORDINARY_ROW_BYTES,
    UNUSUAL,
    Size,
    Structure,
    is_plain_exif,
)

_MAX_CHUNKS = 100_000
# A lossless part may hold a set of Huffman tables, 5 kB of memory, for each 4 x 4 pixels.
_ORDINARY_LOSSLESS_PIXELS = 400_000
_ANIMATED = 0x02

_ORDINARY_BLOCKS = 2_048
_MAX_BLOCKS = 100_000  # Pillow steps over them, and over what is none, in Python
_GIF_INTRODUCER = re.compile(rb"[!,;]")

_PLAIN_BMP = {0, 3, 6}  # of pixels as they are, in three ways
_RUN_PIXEL_S, _RUN_BYTE_S = 2.5e-7, 5e-7  # Pillow unpacks runs in Python


def webp(data: bytes) -> Structure:
    """Counts chunks; an animation, and much that is lossless, is unusual."""
    ordinary, lossless, chunks = True, False, 0
    size: Size | None = None
    at = 12
    while at + 8 <= len(data):
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = at + 8
        chunks += 1
        if chunks > _MAX_CHUNKS:
            return Structure(False, NEVER, "more than {:,} chunks", (_MAX_CHUNKS,), size)
        if name == b"VP8X" and len(data) >= body + 10:
            size = _larger(size, Size(_three_bytes(data, body + 4) + 1, _three_bytes(data, body + 7) + 1))
            ordinary &= not data[body] & _ANIMATED
        elif name == b"VP8L" and len(data) >= body + 5:
            bits = int.from_bytes(data[body + 1 : body + 5], "little")
            size = _larger(size, Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
            lossless = True
        elif name == b"VP8 " and len(data) >= body + 10:
            width, height = struct.unpack_from("<HH", data, body + 6)
            size = _larger(size, Size(width & 0x3FFF, height & 0x3FFF))
        elif name == b"EXIF":
            exif = data[body : body + length]
            ordinary &= is_plain_exif(exif.removeprefix(b"Exif\0\0"))
        lossless |= name == b"ALPH"
        ordinary &= name not in (b"ANIM", b"ANMF")
        at = body + length + (length & 1)
    if lossless and (size is None or size.pixels > _ORDINARY_LOSSLESS_PIXELS):
        ordinary = False
    return Structure(ordinary, chunks * 1e-6, "{:,} chunks", (chunks,), size)


def gif(data: bytes) -> Structure:
    """Counts blocks before the first picture, the only one that is decoded."""
    if len(data) < 13:
        return ORDINARY
    size = Size(*struct.unpack_from("<HH", data, 6))
    blocks = 0
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while at < len(data) and blocks <= _MAX_BLOCKS:
        following = _GIF_INTRODUCER.search(data, at)
        if following is None:
            blocks += len(data) - at
            break
        blocks += following.start() - at + 1
        at = following.start()
        if data[at : at + 1] != b"!":
            break
        at += 2
        while at < len(data) and data[at] and blocks <= _MAX_BLOCKS:
            at += 1 + data[at]
            blocks += 1
        at += 1
    if blocks > _MAX_BLOCKS:
        return Structure(False, NEVER, "more than {:,} blocks before the first picture", (_MAX_BLOCKS,), size)
    costs = "{:,} blocks before the first picture"
    return Structure(blocks <= _ORDINARY_BLOCKS, blocks * 1e-6, costs, (blocks,), size)


def bmp(data: bytes) -> Structure:
    """Looks whether pixels lie as they are, or in runs."""
    if len(data) < 34:
        return ORDINARY
    header = int.from_bytes(data[14:18], "little")
    if header == 12:
        return ORDINARY
    width, height, bits, compression = struct.unpack_from("<ii2xHI", data, 18)
    size = Size(abs(width), abs(height))
    if compression in _PLAIN_BMP:
        return Structure(ordinary=size.width * bits // 8 <= ORDINARY_ROW_BYTES, size=size)
    if compression not in (1, 2):
        return UNUSUAL
    work_s = size.pixels * _RUN_PIXEL_S + len(data) * _RUN_BYTE_S
    return Structure(False, work_s, "runs over {} x {} pixels", size, size)


def _larger(size: Size | None, other: Size) -> Size:
    """Of two that a file states: which of them its decoder goes by depends on what stands first, or elsewhere."""
    return other if size is None or other.pixels > size.pixels else size


def _three_bytes(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")
