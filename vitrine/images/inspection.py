"""One walk over a file, by the format that it begins as."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from vitrine.images.formats import jpeg, png, small_formats, tiff
from vitrine.images.formats.structure import ORDINARY, UNUSUAL, Structure


class _Format(NamedTuple):
    """How files of a format begin, what walks over them, and how Pillow calls it."""

    beginning: bytes
    walk: Callable[[bytes], Structure]
    pillow: tuple[str, ...]


# As Pillow tells them apart; of what begins otherwise, it takes AVIF alone. An MPO is opened as the JPEG that it is.
_FORMATS = (
    _Format(b"\xff\xd8\xff", jpeg.structure, ("JPEG",)),
    _Format(b"\x89PNG\r\n\x1a\n", png.structure, ("PNG",)),
    _Format(b"RIFF", small_formats.webp, ("WEBP",)),
    _Format(b"GIF8", small_formats.gif, ("GIF",)),
    _Format(b"BM", small_formats.bmp, ("BMP",)),
    _Format(b"II", tiff.structure, ("TIFF",)),
    _Format(b"MM", tiff.structure, ("TIFF",)),
)
_BY_TWO_BYTES = {one.beginning[:2]: one for one in _FORMATS}
_OTHERWISE = ("AVIF",)


def structure_of(data: bytes) -> Structure:
    """Counts what a file asks of its decoder; of what is no picture, nothing."""
    found = _format_of(data)
    if found is not None:
        return found.walk(data)
    # A frame of AVIF lies in a stream of bits, where a few bytes may stand for all its pixels, and any number of them.
    return UNUSUAL if data[4:8] == b"ftyp" else ORDINARY


def pillow_formats(data: bytes) -> tuple[str, ...]:
    """Names the formats as which Pillow may open a file: no other than the one that `structure_of` took it for."""
    found = _format_of(data)
    return _OTHERWISE if found is None else found.pillow


def _format_of(data: bytes) -> _Format | None:
    found = _BY_TWO_BYTES.get(data[:2])
    return found if found is not None and data.startswith(found.beginning) else None
