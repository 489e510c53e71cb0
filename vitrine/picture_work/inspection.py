"""One walk over a file, by the format that it begins as."""

from __future__ import annotations

from collections.abc import Callable

from vitrine.picture_work import jpeg, png, small_formats, tiff
from vitrine.picture_work.structure import ORDINARY, UNUSUAL, Structure

# As Pillow tells them apart.
_BY_BEGINNING: tuple[tuple[bytes, Callable[[bytes], Structure]], ...] = (
    (b"\xff\xd8\xff", jpeg.structure),
    (b"\x89PNG\r\n\x1a\n", png.structure),
    (b"RIFF", small_formats.webp),
    (b"GIF8", small_formats.gif),
    (b"BM", small_formats.bmp),
    (b"II", tiff.structure),
    (b"MM", tiff.structure),
)


def structure_of(data: bytes) -> Structure:
    """Counts what a file asks of its decoder; of what is no picture, nothing."""
    for beginning, walk in _BY_BEGINNING:
        if data.startswith(beginning):
            return walk(data)
    # A frame of AVIF lies in a stream of bits, where a few bytes may stand for all its pixels, and any number of them.
    return UNUSUAL if data[4:8] == b"ftyp" else ORDINARY
