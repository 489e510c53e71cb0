"""What a file asks of its decoder beside its pixels, counted without decoding.

The sizes in a file are its sender's. A JPEG repeats scans, a PNG chunks, a TIFF strips: each costs a few bytes and as
much work as a whole picture. So they are counted by walking over the file as its decoder would. Walks run in the
calling process, which nothing ends: each must be linear in the length of the file.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

NEVER = float("inf")
"""CPU seconds of what is refused whatever the limit."""

ORDINARY_ROW_BYTES = 1_000_000
"""Of an unpacked picture: Pillow reads 64 kB at a time, and copies what it has of a row each time."""

_MAX_EXIF_ENTRIES = 128  # cameras write 10 to 20
_MAX_EXIF_BYTES = 262_144  # cameras write up to 64 kB; Pillow makes an object of each number, 3.5 s for 12 MB of them
# Of all that entries may point at, since each may point at everything. The installed Pillow copies no more than the
# size of the file; older ones copied it for each entry, and the next may again.
_MAX_EXIF_COPIED_BYTES = 16_000_000
_IFD_HEADER = 8


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Their number."""
        return self.width * self.height


class Structure(NamedTuple):
    """What the walk over a file found.

    Attributes:
        ordinary: what was counted is all that can take time: the picture may be decoded in this process.
        work_s: CPU seconds, by fixed costs on a machine of 2026, of what was counted; pixels and bytes come on top.
        costs: what costs as much, for whoever sent the file, with a place for each of `counts`.
        counts: written only when somebody reads them, since almost no file is refused.
        size: as the file states it, where the walk meets it.
    """

    ordinary: bool
    work_s: float = 0.0
    costs: str = ""
    counts: tuple[int, ...] = ()
    size: Size | None = None

    @property
    def found(self) -> str:
        """What costs as much, in words."""
        return self.costs.format(*self.counts)


ORDINARY = Structure(ordinary=True)
UNUSUAL = Structure(ordinary=False)


def is_plain_exif(exif: bytes) -> bool:
    """Says whether EXIF (a TIFF without a picture) is as small as cameras write it."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < _IFD_HEADER:
        return not exif
    (start,) = struct.unpack_from(f"{order}I", exif, 4)
    if start + 2 > len(exif):
        return True
    entries = int(struct.unpack_from(f"{order}H", exif, start)[0])
    return (
        entries <= _MAX_EXIF_ENTRIES and len(exif) <= _MAX_EXIF_BYTES and entries * len(exif) <= _MAX_EXIF_COPIED_BYTES
    )
