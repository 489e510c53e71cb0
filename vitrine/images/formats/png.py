"""PNG and APNG: chunks, and what some of them inflate to."""

from __future__ import annotations

import struct

from vitrine.images.formats.structure import NEVER, Size, Structure, is_plain_exif

_CHUNK_S = 3e-6  # Pillow handles each in Python
_INFLATED_S = 2e-3  # for a chunk of text or colour that inflates to a megabyte, the most that Pillow takes
_ORDINARY_INFLATED = 32
_FREE_CHUNKS = 4_096
_BYTES_A_CHUNK = 512  # encoders write 4 kB and more
_SIGNATURE_BYTES = 8
_EXIF_AS_TEXT = b"Raw profile type exif"


def structure(data: bytes) -> Structure:
    """Counts chunks."""
    chunks, inflated, plain = 0, 0, True
    size: Size | None = None
    most = _FREE_CHUNKS + len(data) // _BYTES_A_CHUNK
    at = _SIGNATURE_BYTES
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        body = at + 8
        chunks += 1
        if chunks > most:
            return Structure(False, NEVER, "more than {:,} chunks", (most,), size)
        if name == b"IHDR" and length >= 8 and body + 8 <= len(data):
            size = Size(*struct.unpack_from(">II", data, body))
        elif name in (b"iCCP", b"zTXt", b"iTXt"):
            inflated += 1
            plain &= not data.startswith(_EXIF_AS_TEXT, body)
        elif name == b"tEXt":
            plain &= not data.startswith((_EXIF_AS_TEXT, b"exif"), body)
        elif name == b"eXIf":
            plain &= is_plain_exif(data[body : body + length])
        elif name == b"IEND":
            break
        at = body + length + 4
    work_s = chunks * _CHUNK_S + inflated * _INFLATED_S
    costs = "{:,} chunks, {:,} of them deflated text or colour"
    return Structure(plain and inflated <= _ORDINARY_INFLATED, work_s, costs, (chunks, inflated), size)
