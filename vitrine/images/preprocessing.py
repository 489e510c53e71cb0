"""The one image path: bytes to pixels, the same in training, Spark and the search tier.

    bytes --decode_image--> RGB picture --Preprocessing.pixels--> float32 array (3, size, size)

Resizers differ by up to 4.7 grey levels between libraries, and a query that is prepared in another way than the
catalog was finds other things. So every choice that moves a pixel stands here, enters `Preprocessing.digest()` and
through it the encoder's fingerprint, and a golden test pins the output.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.errors import EncoderError
from vitrine.identity import ID_LENGTH, canonical_json, sha256_hex
from vitrine.images.decoding import DEFAULT_MAX_PIXELS, ITEM_WORK, WorkLimit, decode_image, upright_rgb

__all__ = ["DEFAULT_MAX_PIXELS", "Preprocessing", "decode_image", "upright_rgb"]

_RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}
_RESAMPLE_BY_NUMBER = {int(value): name for name, value in _RESAMPLE.items()}
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the array that an image tower reads.

    The shorter side is resized to `resize_shorter_side`, the middle `image_size` square is cut out, and each channel
    becomes `(value / 255 - mean) / std`.

    Attributes:
        image_size: side of the square that the tower reads, in pixels.
        resize_shorter_side: the shorter side after the resize, at least `image_size`.
        resample: the filter's name, as Pillow calls it.
        mean, std: of each channel, of values in [0, 1].
        reducing_gap: large pictures are first reduced by whole steps (by the JPEG decoder, else by averaging) while
            they stay at least this many times larger than the target; 0 means never. Part of the result, so pinned.
    """

    image_size: int = 224
    resize_shorter_side: int = 224
    resample: str = "bicubic"
    mean: tuple[float, float, float] = field(default=_CLIP_MEAN)
    std: tuple[float, float, float] = field(default=_CLIP_STD)
    reducing_gap: float = 2.0

    def __post_init__(self) -> None:
        if self.resample not in _RESAMPLE:
            raise EncoderError(f"preprocessing: resample is one of {sorted(_RESAMPLE)}, found {self.resample!r}")
        if not 1 <= self.image_size <= self.resize_shorter_side:
            raise EncoderError(
                f"preprocessing: expected 1 <= image_size <= resize_shorter_side, found image_size {self.image_size} "
                f"and resize_shorter_side {self.resize_shorter_side}: the crop would leave the picture"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or not all(value > 0 for value in self.std):
            raise EncoderError(f"preprocessing: expected 3 means and 3 positive stds, found {self.mean} and {self.std}")

    def digest(self) -> str:
        """Returns a short hash of every choice that moves a pixel."""
        return sha256_hex(canonical_json(asdict(self)))[:ID_LENGTH]

    def square(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resizes and crops an RGB picture: (image_size, image_size, 3), uint8."""
        width, height = image.size
        scale = self.resize_shorter_side / min(width, height)
        target = (
            max(self.resize_shorter_side, round(width * scale)),
            max(self.resize_shorter_side, round(height * scale)),
        )
        # Only the crop is resized: of a 10,000 x 40 banner the rest would be computed and thrown away.
        left, top = (target[0] - self.image_size) / 2, (target[1] - self.image_size) / 2
        left, top = float(int(left)), float(int(top))
        x_scale, y_scale = width / target[0], height / target[1]
        box = (
            left * x_scale,
            top * y_scale,
            min(width, (left + self.image_size) * x_scale),
            min(height, (top + self.image_size) * y_scale),
        )
        gap = self.reducing_gap if self.reducing_gap >= 1.0 else None
        resized = image.resize((self.image_size, self.image_size), _RESAMPLE[self.resample], box=box, reducing_gap=gap)
        return np.asarray(resized, dtype=np.uint8)

    def normalise(self, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turns uint8 squares (n, size, size, 3) into what the tower reads: (n, 3, size, size), float32."""
        scale = (1.0 / (255.0 * np.asarray(self.std))).astype(np.float32)
        shift = (-np.asarray(self.mean) / np.asarray(self.std)).astype(np.float32)
        pixels = np.empty((len(squares), 3, self.image_size, self.image_size), dtype=np.float32)
        for channel in range(3):
            np.multiply(squares[..., channel], scale[channel], out=pixels[:, channel])
            pixels[:, channel] += shift[channel]
        return pixels

    def pixels(self, images: Sequence[Image.Image | bytes]) -> NDArray[np.float32]:
        """Prepares pictures (or their bytes): (n, 3, image_size, image_size), float32.

        Raises:
            ImageError: bytes that cannot be decoded.
        """
        squares = np.empty((len(images), self.image_size, self.image_size, 3), dtype=np.uint8)
        for row, image in enumerate(images):
            squares[row] = self.square(self.decode(image) if isinstance(image, bytes) else upright_rgb(image))
        return self.normalise(squares)

    def decode(self, data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS, work: WorkLimit = ITEM_WORK) -> Image.Image:
        """Decodes for this preprocessing: like `decode_image`, but a large JPEG only as finely as is needed."""
        gap = self.reducing_gap if self.reducing_gap >= 1.0 else 0.0
        shorter_side = int(gap * self.resize_shorter_side) or None
        return decode_image(data, max_pixels=max_pixels, shorter_side=shorter_side, work=work)

    def to_huggingface(self) -> dict[str, Any]:
        """Returns the content of the `preprocessor_config.json` of `transformers`' CLIP image processors."""
        return {
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": {"shortest_edge": self.resize_shorter_side},
            "resample": int(_RESAMPLE[self.resample]),
            "do_center_crop": True,
            "crop_size": {"height": self.image_size, "width": self.image_size},
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "vitrine_reducing_gap": self.reducing_gap,
        }

    @classmethod
    def from_huggingface(cls, config: Mapping[str, Any]) -> Preprocessing:
        """Reads the content of a `preprocessor_config.json`.

        Raises:
            EncoderError: the file asks for steps that this image path does not have.
        """
        for step in ("do_resize", "do_center_crop", "do_normalize", "do_rescale"):
            if config.get(step) is False:
                raise EncoderError(f"preprocessor_config.json: {step} is false; CLIP's image path needs it to be true")
        if abs(float(config.get("rescale_factor", 1 / 255)) - 1 / 255) > 1e-6:
            raise EncoderError(
                f"preprocessor_config.json: expected rescale_factor 1/255, found {config['rescale_factor']}"
            )
        resample = config.get("resample", int(Image.Resampling.BICUBIC))
        if resample not in _RESAMPLE_BY_NUMBER:
            raise EncoderError(f"preprocessor_config.json: unknown resample {resample!r}")
        image_size = _crop_side(config.get("crop_size", 224))
        return cls(
            image_size=image_size,
            resize_shorter_side=_shorter_side(config.get("size", image_size)),
            resample=_RESAMPLE_BY_NUMBER[resample],
            mean=_triple(config.get("image_mean", _CLIP_MEAN)),
            std=_triple(config.get("image_std", _CLIP_STD)),
            reducing_gap=float(config.get("vitrine_reducing_gap", cls.reducing_gap)),
        )

    @classmethod
    def from_folder(cls, folder: Path) -> Preprocessing:
        """Reads `preprocessor_config.json` (or the image part of `processor_config.json`) of an encoder folder."""
        own, joint = folder / "preprocessor_config.json", folder / "processor_config.json"
        if own.is_file():
            return cls.from_huggingface(json.loads(own.read_text(encoding="utf-8")))
        if joint.is_file():
            config = json.loads(joint.read_text(encoding="utf-8"))
            return cls.from_huggingface(config.get("image_processor", config))
        raise EncoderError(f"{folder}: expected preprocessor_config.json, found neither it nor processor_config.json")


def _crop_side(value: Any) -> int:
    if isinstance(value, int):
        return value
    if isinstance(value, Mapping) and value.get("height") is not None and value.get("height") == value.get("width"):
        return int(value["height"])
    raise EncoderError(f"preprocessor_config.json: crop_size must be one side or a square, found {value!r}")


def _shorter_side(value: Any) -> int:
    if isinstance(value, int):
        return value
    if isinstance(value, Mapping) and "shortest_edge" in value:
        return int(value["shortest_edge"])
    raise EncoderError(
        f"preprocessor_config.json: size must name the shorter side (shortest_edge), found {value!r}: "
        "a size with height and width would squash the picture, which CLIP does not do"
    )


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
