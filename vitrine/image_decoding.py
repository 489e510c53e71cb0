"""Image bytes to an upright RGB picture; whatever a file holds, the answer is a picture or an ImageError."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from vitrine.contracts.items import Reason
from vitrine.errors import ImageError

# Decoders that shops need. Pillow has more, and some of them (EPS) start other programs.
ALLOWED_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "MPO")
DEFAULT_MAX_PIXELS = 64_000_000
_STRIP_PIXELS = 1_000_000

# What Pillow's decoders raise on broken files, found by fuzzing them; anything else is a bug and stays loud.
_DECODER_ERRORS = (
    UnidentifiedImageError,
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
)


def decode_image(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS, shorter_side: int | None = None) -> Image.Image:
    """Decodes picture bytes to upright RGB, transparent parts over white.

    Args:
        data: a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF file; of an animation the first frame is used.
        max_pixels: a larger picture is refused from its header, before any pixel is decoded.
        shorter_side: when given, a JPEG may be decoded reduced by 2, 4 or 8 as long as its shorter side keeps at
            least this many pixels (about twice as fast).

    Raises:
        ImageError: the bytes are no picture, are cut short, or hold too many pixels.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=ALLOWED_FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(str(error), max_pixels) from error
    except _DECODER_ERRORS as error:
        raise _undecodable(data, error) from error
    width, height = image.size
    if width * height > max_pixels:
        raise _too_many_pixels(f"{width} x {height}", max_pixels)
    if min(width, height) < 1:
        raise ImageError(
            f"the picture is {width} x {height} pixels: nothing to look at", reason=Reason.IMAGE_UNDECODABLE
        )
    try:
        if shorter_side is not None:
            image.draft(None, (shorter_side, shorter_side))
        image.load()
        return upright_rgb(image)
    except _DECODER_ERRORS as error:
        raise _undecodable(data, error) from error


def upright_rgb(image: Image.Image) -> Image.Image:
    """Applies the EXIF orientation and converts to RGB: transparent parts over white, 16-bit greys scaled to 8."""
    image = _upright(image)
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.has_transparency_data:
        return _by_strips(image, _over_white)
    if image.mode.startswith("I;16") or image.mode == "I":
        return _by_strips(image, _grey_of_16_bits)
    return image.convert("RGB")


def _by_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Converts a picture strip by strip: whole, the layers in between would take several times its memory."""
    whole = Image.new("RGB", image.size)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        whole.paste(convert(image.crop((0, top, image.width, min(image.height, top + rows)))), (0, top))
    return whole


def _over_white(image: Image.Image) -> Image.Image:
    layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, (255, 255, 255, 255)), layered).convert("RGB")


def _grey_of_16_bits(image: Image.Image) -> Image.Image:
    # Pillow clips 16-bit greys at 255, which turns a photograph white.
    return Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65_535) >> 8).astype(np.uint8)).convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return image  # as almost all are; `exif_transpose` would copy them
        return ImageOps.exif_transpose(image)
    except _DECODER_ERRORS:
        # Broken EXIF says nothing about the orientation; browsers, too, show such a picture as it lies.
        return image


def _undecodable(data: bytes, error: Exception) -> ImageError:
    cause = "" if isinstance(error, KeyError) else f": {error}"  # of a KeyError, that is a name in Pillow's tables
    return ImageError(
        f"{len(data)} bytes cannot be decoded as one of {', '.join(ALLOWED_FORMATS)}{cause}; send a whole image file",
        reason=Reason.IMAGE_UNDECODABLE,
    )


def _too_many_pixels(found: str, max_pixels: int) -> ImageError:
    return ImageError(
        f"expected at most {max_pixels:,} pixels, found {found}: scale the picture down",
        reason=Reason.IMAGE_TOO_MANY_PIXELS,
    )
