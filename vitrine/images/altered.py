"""Catalog pictures, re-cropped and lightly altered: queries whose right answer is known.

A shopper's picture is never the catalog's file. Searching with the file itself finds it always and says nothing; a
slightly smaller cut in slightly other light is the nearest thing to a query that can be made without people.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageEnhance

from vitrine.contracts.items import PackedImage
from vitrine.errors import ObjectCorruptError
from vitrine.identity import sha256_hex
from vitrine.images.decoding import ACCEPTED_WORK, decode_image
from vitrine.storage import ObjectStore, keys

_KEPT = (0.85, 0.95)  # of each side
_BRIGHTNESS = (0.85, 1.15)

Crop = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the picture."""


def draw_alteration(generator: np.random.Generator) -> tuple[Crop, float]:
    """Draws a crop and a brightness; a generator of the same seed draws the same ones."""
    width, height = generator.uniform(*_KEPT, size=2)
    left, top = generator.uniform(0, 1 - width), generator.uniform(0, 1 - height)
    crop = (round(left, 4), round(top, 4), round(left + width, 4), round(top + height, 4))
    return crop, round(float(generator.uniform(*_BRIGHTNESS)), 4)


def alter_picture(data: bytes, *, crop: Crop | None, brightness: float) -> Image.Image:
    """Returns the picture of some image bytes, cropped and made brighter (above 1) or darker.

    Raises:
        ImageError: the bytes cannot be decoded.
    """
    picture = decode_image(data, work=ACCEPTED_WORK)
    if crop is not None:
        width, height = picture.size
        left, top = int(crop[0] * width), int(crop[1] * height)
        right, bottom = max(left + 1, int(crop[2] * width)), max(top + 1, int(crop[3] * height))
        picture = picture.crop((left, top, right, bottom))
    return picture if brightness == 1.0 else ImageEnhance.Brightness(picture).enhance(brightness)


def read_picture(object_store: ObjectStore, image: PackedImage, *, catalog_id: str) -> bytes:
    """Reads one accepted image out of its pack, by one range request.

    Raises:
        ObjectMissingError: the pack is gone.
        ObjectCorruptError: the bytes differ from what was accepted.
    """
    key = keys.image_pack(catalog_id, image.pack_id)
    data = object_store.get_bytes(key, start=image.offset, length=image.size_bytes)
    if (found := sha256_hex(data)) != image.sha256:
        raise ObjectCorruptError(
            f"s3://{object_store.bucket}/{key} at {image.offset}: expected an image of sha256 {image.sha256}, found "
            f"{found}; the pack was changed after it was written"
        )
    return data
