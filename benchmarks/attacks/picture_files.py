"""Picture files to attack decoders with: small sound ones of every kind, mutants of them, and bombs."""

from __future__ import annotations

import io
import random
import re
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_PNG = b"\x89PNG\r\n\x1a\n"
# What tells a decoder how much there is, and what comes next.
_TELLING = (b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff")
_MARKERS = tuple(bytes([0xFF, code]) for code in (0xC0, 0xC2, 0xC4, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xE1, 0xFE))


def photograph(width: int, height: int, *, seed: int = 1) -> Image.Image:
    """A made picture with edges, gradients and grain, as photographs have them."""
    draws = np.random.default_rng(seed)
    coarse = Image.fromarray(draws.integers(0, 256, (12, 9, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = draws.normal(0, 4, (height, width, 1)).astype(np.int16)
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    """The bytes of a picture file."""
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


@cache
def sound_pictures() -> dict[str, bytes]:
    """Small sound files by what they are: each format, with the ways of coding that have code of their own."""
    colour = photograph(24, 18)
    grey, palette = colour.convert("L"), colour.quantize(16)
    clear = colour.copy()
    clear.putalpha(grey)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a picture"
    frames = [photograph(24, 18, seed=seed) for seed in (2, 3)]
    found = {
        "jpeg": encoded(colour, "JPEG", exif=exif),
        "jpeg grey": encoded(grey, "JPEG"),
        "jpeg cmyk": encoded(colour.convert("CMYK"), "JPEG"),
        "jpeg progressive": encoded(colour, "JPEG", progressive=True),
        "jpeg restarts": encoded(colour, "JPEG", restart_marker_blocks=1),
        "mpo": encoded(colour, "MPO", save_all=True, append_images=frames),
        "png": encoded(colour, "PNG"),
        "png interlaced": png(_passes(colour), 24, 18, interlaced=True),
        "png 16 bits": encoded(Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), "PNG"),
        "png palette": encoded(palette, "PNG", transparency=3),
        "png without palette": png(_rows(palette), 24, 18, kind=3),
        "png clear": encoded(clear, "PNG", exif=exif),
        "png animated": encoded(colour, "PNG", save_all=True, append_images=frames),
        "webp": encoded(colour, "WEBP", exif=exif),
        "webp lossless": encoded(colour, "WEBP", lossless=True),
        "webp clear": encoded(clear, "WEBP"),
        "webp animated": encoded(colour, "WEBP", save_all=True, append_images=frames),
        "gif": encoded(palette, "GIF", comment=b"a picture"),
        "gif animated": encoded(colour, "GIF", save_all=True, append_images=frames, disposal=2),
        "bmp": encoded(colour, "BMP"),
        "bmp palette": encoded(palette, "BMP"),
        "bmp runs": bmp_runs(24, 18, b"".join(bytes([12, 7, 12, 9, 0, 0]) for _ in range(18)) + b"\0\1"),
        "tiff": encoded(colour, "TIFF", exif=exif),
        "avif": encoded(colour, "AVIF"),
        "avif clear": encoded(clear, "AVIF"),
    }
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        found[f"tiff {compression}"] = encoded(colour, "TIFF", compression=compression)
    found["tiff fax"] = encoded(grey.convert("1"), "TIFF", compression="group4")
    return found


def mutant(number: int) -> tuple[str, bytes]:
    """The mutant of a number, always the same: what it was, and its bytes."""
    draw = random.Random(number)
    names = sorted(sound_pictures())
    name = names[number % len(names)]
    content = bytearray(sound_pictures()[name])
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        draw.choice(_MUTATIONS)(content, draw)
    if draw.random() < 0.5:
        _mend(content)
    return name, bytes(content)


def scan_bomb(*, scans: int, width: int = 4000, height: int = 4000, mode: str = "L") -> bytes:
    """A progressive JPEG whose dearest scan, of 31 bytes, stands `scans` times."""
    return _with_scans(encoded(Image.new(mode, (width, height), 128), "JPEG", progressive=True), scans)


def mpo_bomb(*, scans: int, width: int = 4000, height: int = 4000) -> bytes:
    """An MPO whose first picture is a scan bomb."""
    frames = [Image.new("L", (width, height), 128), Image.new("L", (width, height), 99)]
    return _with_scans(encoded(frames[0], "MPO", save_all=True, append_images=frames[1:], progressive=True), scans)


def tiff_bomb(*, scans: int, width: int = 4000, height: int = 4000, strips: int = 1) -> bytes:
    """A TIFF of one or more strips that are all the same scan bomb."""
    rows = height // strips
    jpeg = scan_bomb(scans=scans, width=width, height=rows)
    return tiff(jpeg, width, height, compression=7, rows=rows, strips=strips)


def fill_bomb(fill: int, *, runs: int = 1) -> bytes:
    """A JPEG whose first scan is nothing but fill bytes, in runs that end in a zero, with 21 more scans behind them."""
    return b"\xff\xd8\xff\xda\0\2" + (b"\xff" * (fill // runs) + b"\0") * runs + b"\xff\xda" * 21


def quantization_bomb(segments: int) -> bytes:
    """A JPEG with as many segments of 1,008 quantization tables each."""
    tables = (b"\0" + bytes([1] * 64)) * 1_008
    small = encoded(Image.new("L", (64, 64)), "JPEG")
    return small[:2] + (b"\xff\xdb" + struct.pack(">H", len(tables) + 2) + tables) * segments + small[2:]


def tiff(data: bytes, width: int, height: int, *, compression: int, rows: int, strips: int = 1, tile: int = 0) -> bytes:
    """A grey TIFF of which every strip is `data`, or its one tile, of `tile` pixels each way."""
    values = tiff_entries(data, width, height, compression=compression, rows=rows, strips=strips, tile=tile)
    offsets, counts = [8] * strips, [len(data)] * strips
    return tiff_of(values, data, b"" if strips == 1 else struct.pack(f"<{2 * strips}I", *offsets, *counts))


def plain_tiff(data: bytes, width: int, height: int, *, rows: int, offsets: list[int]) -> bytes:
    """An uncompressed grey TIFF of strips at `offsets`, from the beginning of `data`."""
    strips = len(offsets)
    values = tiff_entries(data, width, height, compression=1, rows=rows, strips=strips)
    counts = [rows * width] * strips
    return tiff_of(values, data, struct.pack(f"<{2 * strips}I", *[8 + offset for offset in offsets], *counts))


def tiff_entries(
    data: bytes, width: int, height: int, *, compression: int, rows: int, strips: int = 1, tile: int = 0
) -> list[tuple[int, int, int, int]]:
    """Entries of a grey TIFF, its strips' offsets and lengths behind `data`: tag, type, number and value of each."""
    head = 8 + len(data)
    return [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (324 if tile else 273, 4, strips, 8 if strips == 1 else head),
        (277, 3, 1, 1),
        *([(322, 4, 1, tile), (323, 4, 1, tile)] if tile else [(278, 4, 1, rows)]),
        (325 if tile else 279, 4, strips, len(data) if strips == 1 else head + 4 * strips),
    ]


def tiff_of(values: list[tuple[int, int, int, int]], data: bytes, arrays: bytes = b"") -> bytes:
    """A TIFF of entries, behind `data` and what some of them point at."""
    head = 8 + len(data)
    directory = struct.pack("<H", len(values)) + b"".join(struct.pack("<HHII", *entry) for entry in values)
    return struct.pack("<2sHI", b"II", 42, head + len(arrays)) + data + arrays + directory + b"\0\0\0\0"


def png(rows: bytes, width: int, height: int, *, kind: int = 2, depth: int = 8, interlaced: bool = False) -> bytes:
    """A PNG of filtered rows, or those of its passes."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    return _PNG + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def bmp_runs(width: int, height: int, runs: bytes) -> bytes:
    """A BMP of 8 bits whose pixels stand in runs (RLE8)."""
    colours = b"".join(bytes([255 - level, level, level, 0]) for level in range(256))
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 2835, 2835, 256, 0)
    start = 14 + len(header) + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + header + colours + runs


def exif_segment(entries: int) -> bytes:
    """A JPEG segment of EXIF whose entries all point at the whole of it."""
    size = 65_000
    directory = b"".join(struct.pack("<HHII", 40_000 + number, 7, size, 0) for number in range(entries))
    body = (struct.pack("<2sHIH", b"II", 42, 8, entries) + directory).ljust(size, b"\0")
    return b"\xff\xe1" + struct.pack(">H", len(body) + 8) + b"Exif\0\0" + body


def _rows(image: Image.Image) -> bytes:
    pixels = np.asarray(image).reshape(image.height, -1)
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def _passes(image: Image.Image) -> bytes:
    """The rows of the seven passes of Adam7."""
    starts = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    pixels = np.asarray(image)
    return b"".join(
        b"\0" + row.tobytes() for left, top, across, down in starts for row in pixels[top::down, left::across]
    )


def _with_scans(jpeg: bytes, scans: int) -> bytes:
    end = _end_of_scans(jpeg)
    start = jpeg.rindex(b"\xff\xda", 0, end)
    return jpeg[:end] + jpeg[start:end] * (scans - 1) + jpeg[end:]


def _end_of_scans(jpeg: bytes) -> int:
    """Where the last scan of the first picture ends."""
    at = 2
    while jpeg[at + 1] != 0xD9:
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        following = _AFTER_SCAN.search(jpeg, at)
        assert following is not None
        at = following.start()
    return at


def _flip(content: bytearray, draw: random.Random) -> None:
    content[draw.randrange(len(content))] = draw.randrange(256)


def _tell(content: bytearray, draw: random.Random) -> None:
    at, what = draw.randrange(len(content)), draw.choice(_TELLING + _MARKERS)
    content[at : at + len(what)] = what


def _insert(content: bytearray, draw: random.Random) -> None:
    at = draw.randrange(len(content))
    content[at:at] = draw.choice((*_MARKERS, draw.randbytes(draw.randrange(1, 24))))


def _cut(content: bytearray, draw: random.Random) -> None:
    del content[draw.randrange(len(content)) + 1 :]


def _drop(content: bytearray, draw: random.Random) -> None:
    at = draw.randrange(len(content))
    del content[at : at + draw.randrange(1, 32)]
    if not content:
        content.append(0)


def _repeat(content: bytearray, draw: random.Random) -> None:
    at = draw.randrange(len(content))
    piece = content[at : at + draw.randrange(1, 64)]
    content[at:at] = piece * draw.choice((1, 2, 40))


def _splice(content: bytearray, draw: random.Random) -> None:
    other = sound_pictures()[draw.choice(sorted(sound_pictures()))]
    at, there = draw.randrange(len(content)), draw.randrange(len(other))
    content[at:] = other[there:]


def _head(content: bytearray, draw: random.Random) -> None:
    content[draw.randrange(min(64, len(content)))] = draw.choice((0, 1, 2, 8, 16, 64, 127, 128, 254, 255))


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_flip, _flip, _flip, _tell, _tell, _head, _head),
    *(_insert, _cut, _drop, _repeat, _splice),
)


def _mend(content: bytearray) -> None:
    """Makes the checksums of a PNG right again, or no decoder would look beyond them."""
    at = len(_PNG)
    while content.startswith(_PNG) and at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        if end + 4 > len(content):
            return
        content[end : end + 4] = struct.pack(">I", zlib.crc32(content[at + 4 : end]))
        at = end + 4
