"""Looks of a picture in 64 bits, and whether it is grey: what finds near duplicates and flags odd pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 32
_KEPT = 8
# Channels that differ by no more are grey: JPEG moves the channels of a grey picture apart by a level or two.
_GREY_LEVELS = 6


@dataclass(frozen=True)
class Looks:
    """What was seen of a picture."""

    perceptual_hash: str  # 16 hex digits
    grayscale: bool


def looks_of(image: Image.Image) -> Looks:
    """Looks at an RGB picture: its perceptual hash, and whether it shows only greys, whatever its mode was.

    The hash is the pHash: the 8 x 8 lowest frequencies of the discrete cosine transform of a 32 x 32 grey version, each
    against their median (Zauner, Implementation and benchmarking of perceptual image hash functions, 2010). Similar
    pictures differ in few bits.
    """
    small = image.resize((2 * _SIDE, 2 * _SIDE), Image.Resampling.BOX)
    red, green, blue = (np.asarray(channel, dtype=np.int16) for channel in small.split())
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    grey = np.asarray(small.convert("L").reduce(2), dtype=np.float64)  # (32, 32)
    # Rounded: on flat pictures the last bits are noise that another CPU would give another sign.
    low = np.round(_COSINES @ grey @ _COSINES.T, 3)  # (8, 8)
    bits = (low > np.median(low)).ravel()
    return Looks(np.packbits(bits).tobytes().hex(), bool(spread.max() <= _GREY_LEVELS))


def _cosines() -> NDArray[np.float64]:
    position, frequency = np.arange(_SIDE), np.arange(_KEPT)[:, None]
    return np.cos(np.pi * frequency * (2 * position + 1) / (2 * _SIDE))


_COSINES = _cosines()
