"""Picture files: what each shows, and its bytes, sound or broken on purpose."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from examples.demo_catalog.parents import Parent
from examples.demo_catalog.scenes import SceneBox, render_scene
from examples.demo_catalog.views import DEFAULT_SIZE, render_view

OVERSIZE_BYTES = 21 * 1024 * 1024  # above the limit of 20 MiB
BOMB_SIDE = 30_000
TINY_SIDE = 20
EXTREME_SIZE = (420, 48)

_EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


@dataclass(frozen=True)
class Picture:
    """One picture file, to be drawn from its description alone.

    `parents` holds one product, or those of a scene; `treatment` is what was done to it afterwards: empty, or the
    name of a fault that spoils the file.
    """

    kind: str
    parents: tuple[Parent, ...]
    view_index: int
    theme: str = ""
    format: str = "JPEG"
    treatment: str = ""

    @property
    def extension(self) -> str:
        """The file name's extension."""
        return _EXTENSIONS[self.format]


def picture_bytes(picture: Picture) -> tuple[bytes | None, tuple[SceneBox, ...]]:
    """The file's content (None for a picture that is to be missing), and the boxes if it is a scene."""
    if picture.treatment in _UNRELATED:
        return _UNRELATED[picture.treatment](), ()
    image, boxes = draw(picture)
    if picture.treatment == "grayscale":
        image = image.convert("L")
    elif picture.treatment == "near_duplicate":
        image = image.crop((3, 3, image.width - 2, image.height - 2)).resize(image.size, Image.Resampling.BILINEAR)
    elif picture.treatment == "tiny_image":
        image = image.resize((TINY_SIDE, TINY_SIDE), Image.Resampling.BOX)
    elif picture.treatment == "extreme_aspect":
        image = image.resize(EXTREME_SIZE, Image.Resampling.BILINEAR)
    content = _encoded(image, picture.format, quality=62 if picture.treatment == "near_duplicate" else 86)
    if picture.treatment == "truncated_image":
        return content[: max(len(content) // 3, 200)], boxes
    if picture.treatment == "oversized_file":
        return content + bytes(OVERSIZE_BYTES - len(content)), boxes
    return content, boxes


def draw(picture: Picture) -> tuple[Image.Image, tuple[SceneBox, ...]]:
    """The picture as it was before it was treated, and the boxes of a scene (empty for any other picture)."""
    if picture.kind == "scene":
        return render_scene(picture.parents, picture.view_index, theme=picture.theme, size=DEFAULT_SIZE)
    return render_view(picture.parents[0], picture.view_index, picture.kind), ()


def _encoded(image: Image.Image, format_name: str, *, quality: int) -> bytes:
    buffer = io.BytesIO()
    if format_name == "PNG":
        image.save(buffer, "PNG", compress_level=4)
    elif format_name == "WEBP":
        image.save(buffer, "WEBP", quality=quality, method=2)
    else:
        image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def decompression_bomb() -> bytes:
    """A PNG of 30,000 x 30,000 black and white pixels in some hundred kilobytes: 0.9 billion pixels when decoded."""
    row = b"\x00" + bytes(np.packbits(np.zeros(BOMB_SIDE, np.uint8)))
    compressor = zlib.compressobj(9)
    block = row * 1000
    data = b"".join(compressor.compress(block) for _ in range(BOMB_SIDE // 1000)) + compressor.flush()
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


_UNRELATED: dict[str, Callable[[], bytes | None]] = {
    "missing_image": lambda: None,
    "empty_file": lambda: b"",
    "text_as_image": lambda: b"This is not a picture.\nThe photographer is on holiday until Monday.\n" * 8,
    "html_as_image": lambda: (
        b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
    ),
    "decompression_bomb": decompression_bomb,
}
