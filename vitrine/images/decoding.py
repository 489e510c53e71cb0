"""Image bytes to an upright RGB picture; whatever a file holds, the answer is a picture or an ImageError."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import ExifTags, Image

from vitrine.contracts.items import Reason
from vitrine.errors import ImageError
from vitrine.images.decoders.pool import Decoders
from vitrine.images.inspection import pillow_formats, structure_of

# Decoders that shops need. Pillow has more, and some of them (EPS) start other programs.
ALLOWED_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "MPO")
DEFAULT_MAX_PIXELS = 64_000_000
_STRIP_PIXELS = 1_000_000

_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OUT_OF_MEMORY = ("decoder error -9", "out of memory error when reading image file")  # Pillow's IMAGING_CODEC_MEMORY
_ADDRESS = re.compile(r" ?<[^<>]* at 0x[0-9a-f]+>")
_SAYS_ORIENTATION = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")

DECODERS = Decoders()
"""Of this process, for all who bring none of their own; a process is started when the first picture needs it."""


@dataclass(frozen=True)
class WorkLimit:
    """How much work one picture may be.

    Attributes:
        cpu_s: CPU seconds after which a decoder process ends.
        counted_s: CPU seconds that what is counted in a file may come to, at fixed costs: of the same file the answer
            is the same on every machine, so it is well below `cpu_s`. None: nothing is refused by counting.
        decoders: the processes that decode what is not ordinary.
    """

    cpu_s: float
    counted_s: float | None
    decoders: Decoders = field(default=DECODERS, compare=False)

    @classmethod
    def of(cls, cpu_s: float, decoders: Decoders = DECODERS) -> WorkLimit:
        """Returns the limit by which counts are refused at half the time."""
        return cls(cpu_s, cpu_s / 2, decoders)


ITEM_WORK = WorkLimit.of(8.0)
"""Of an item's picture."""

ACCEPTED_WORK = WorkLimit(60.0, None)
"""Of a picture that was accepted before: it is judged no second time, and still ends."""


@dataclass(frozen=True)
class PictureHeader:
    """What a file states of its picture: sides in pixels, before the orientation is applied."""

    width: int
    height: int
    mode: str
    format: str


def decode_image(
    data: bytes,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    shorter_side: int | None = None,
    work: WorkLimit = ITEM_WORK,
) -> Image.Image:
    """Decodes picture bytes to upright RGB, transparent parts over white.

    Ordinary files are decoded here. Others, of which counting does not tell how long they take, are decoded in a
    process that can be ended.

    Args:
        data: a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF file; of an animation the first frame is used.
        max_pixels: a larger picture is refused from its header, before any pixel is decoded.
        shorter_side: when given, a JPEG may be decoded reduced by 2, 4 or 8 as long as its shorter side keeps at
            least this many pixels (about twice as fast).
        work: how much of it the picture may be.

    Raises:
        ImageError: the bytes are no picture, are cut short, hold too many pixels, or ask for too much work.
        DecodersBusyError: too many pictures wait for a decoder process.
    """
    if _is_ordinary(data, max_pixels=max_pixels, work=work):
        return decode_here(data, max_pixels=max_pixels, shorter_side=shorter_side)
    decoded = work.decoders.decode(data, max_pixels=max_pixels, shorter_side=shorter_side, cpu_s=work.cpu_s)
    if decoded.image is None:
        raise AssertionError("unreachable: a picture was asked for")
    return decoded.image


def read_header(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS, work: WorkLimit = ITEM_WORK) -> PictureHeader:
    """Reads what a file states of its picture, without decoding it; `max_pixels` are not held against it here.

    Raises:
        ImageError: the bytes are no picture, or ask for too much work.
        DecodersBusyError: too many pictures wait for a decoder process.
    """
    if _is_ordinary(data, max_pixels=None, work=work):
        return header_here(data)
    found = work.decoders.decode(data, max_pixels=max_pixels, header_only=True, cpu_s=work.cpu_s)
    return PictureHeader(**(found.header or {}))


def decode_here(data: bytes, *, max_pixels: int, shorter_side: int | None) -> Image.Image:
    """Decodes in this process, however long it takes; see `decode_image`."""
    image = _opened(data, max_pixels=max_pixels)
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
        return upright_rgb(image)
    except Exception as error:  # whatever a decoder raises says that the file is none of its kind
        raise _undecodable(data, error) from error


def header_here(data: bytes) -> PictureHeader:
    """Reads the header in this process; see `read_header`."""
    with _opened(data, max_pixels=None) as image:
        return PictureHeader(image.width, image.height, image.mode, image.format or "")


def too_much_memory() -> ImageError:
    """Returns the refusal of a picture that does not fit into memory."""
    return ImageError(
        "the picture needs too much memory to decode; save it again as a plain JPEG",
        reason=Reason.IMAGE_TOO_MUCH_WORK,
    )


def _is_ordinary(data: bytes, *, max_pixels: int | None, work: WorkLimit) -> bool:
    """Counts what a file asks for, and refuses what is too much."""
    found = structure_of(data)
    if work.counted_s is not None and found.work_s > work.counted_s:
        if max_pixels is not None and found.size is not None and found.size.pixels > max_pixels:
            raise _too_many_pixels(f"{found.size.width} x {found.size.height}", max_pixels)
        raise ImageError(
            f"expected a picture that is decoded in a few seconds, found {found.found}; save it again as a plain JPEG",
            reason=Reason.IMAGE_TOO_MUCH_WORK,
        )
    return found.ordinary


def _opened(data: bytes, *, max_pixels: int | None) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=pillow_formats(data))
    except Image.DecompressionBombError as error:
        if max_pixels is None:
            raise ImageError(str(error), reason=Reason.IMAGE_TOO_MANY_PIXELS) from error
        raise _too_many_pixels(str(error), max_pixels) from error
    except Exception as error:  # see `decode_here`
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
    image.load()  # a PNG may say it behind its pixels; a TIFF says it elsewhere, and is turned by this
    if image.info.keys().isdisjoint(_SAYS_ORIENTATION):
        return image
    try:
        method = _ORIENTATIONS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - see `decode_here`
        # Broken EXIF says nothing about the orientation; browsers, too, show such a picture as it lies.
        return image
    if method is None:
        return image  # as almost all are
    # `ImageOps.exif_transpose` would write all EXIF anew, which takes as long as whoever made the file likes.
    turned = image.transpose(method)
    for name in _SAYS_ORIENTATION:
        turned.info.pop(name, None)
    return turned


def _undecodable(data: bytes, error: Exception) -> ImageError:
    if isinstance(error, MemoryError) or str(error) in _OUT_OF_MEMORY:
        return too_much_memory()
    # Of a KeyError, the text is a name in Pillow's tables. An address would make each run's verdict another one.
    text = "" if isinstance(error, KeyError) else _ADDRESS.sub("", str(error)).strip()
    cause = f": {text}" if text else ""
    return ImageError(
        f"{len(data)} bytes cannot be decoded as one of {', '.join(ALLOWED_FORMATS)}{cause}; send a whole image file",
        reason=Reason.IMAGE_UNDECODABLE,
    )


def _too_many_pixels(found: str, max_pixels: int) -> ImageError:
    return ImageError(
        f"expected at most {max_pixels:,} pixels, found {found}: scale the picture down",
        reason=Reason.IMAGE_TOO_MANY_PIXELS,
    )
