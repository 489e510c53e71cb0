"""The named colours of the demo catalog and the shades a product may have of each."""

from __future__ import annotations

import colorsys

import numpy as np

Rgb = tuple[float, float, float]

# name: (hue in degrees, saturation, value), then how far a product's own shade may lie from it. The jitter is small
# where neighbours are near (navy and blue, beige and brown), so that a colour word names one region.
_NAMED: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "red": ((357, 0.84, 0.80), (5, 0.10, 0.08)),
    "burgundy": ((346, 0.72, 0.42), (6, 0.08, 0.06)),
    "orange": ((25, 0.84, 0.93), (5, 0.10, 0.05)),
    "yellow": ((48, 0.74, 0.95), (5, 0.12, 0.04)),
    "green": ((132, 0.58, 0.50), (12, 0.12, 0.10)),
    "mint": ((154, 0.28, 0.86), (8, 0.06, 0.05)),
    "teal": ((183, 0.76, 0.53), (6, 0.10, 0.07)),
    "blue": ((213, 0.72, 0.80), (8, 0.12, 0.08)),
    "navy": ((224, 0.62, 0.31), (6, 0.08, 0.05)),
    "purple": ((275, 0.52, 0.58), (10, 0.10, 0.09)),
    "pink": ((338, 0.38, 0.94), (10, 0.09, 0.04)),
    "brown": ((23, 0.58, 0.43), (6, 0.08, 0.07)),
    "beige": ((36, 0.25, 0.85), (6, 0.05, 0.05)),
    "grey": ((220, 0.05, 0.56), (20, 0.03, 0.08)),
    "black": ((230, 0.10, 0.15), (30, 0.05, 0.04)),
    "white": ((45, 0.03, 0.95), (20, 0.02, 0.03)),
}

COLORS: tuple[str, ...] = tuple(_NAMED)

# What looks well as the second colour of a pattern or a trim.
_ACCENTS: dict[str, tuple[str, ...]] = {
    "red": ("white", "navy", "beige", "black", "pink"),
    "burgundy": ("beige", "pink", "white", "orange"),
    "orange": ("white", "navy", "brown", "beige", "teal"),
    "yellow": ("white", "grey", "navy", "brown", "teal"),
    "green": ("white", "beige", "mint", "yellow", "navy"),
    "mint": ("white", "teal", "navy", "pink", "green"),
    "teal": ("white", "beige", "orange", "yellow", "mint"),
    "blue": ("white", "navy", "yellow", "beige", "red"),
    "navy": ("white", "red", "beige", "mint", "yellow"),
    "purple": ("white", "pink", "yellow", "grey", "mint"),
    "pink": ("white", "burgundy", "purple", "grey", "red"),
    "brown": ("beige", "orange", "white", "mint"),
    "beige": ("brown", "white", "navy", "burgundy", "black"),
    "grey": ("white", "black", "yellow", "pink", "navy"),
    "black": ("white", "grey", "red", "beige", "yellow"),
    "white": ("navy", "red", "black", "blue", "green", "grey"),
}


def shade_of(color: str, rng: np.random.Generator) -> Rgb:
    """A product's own shade of a named colour, as RGB in 0..1."""
    (hue, saturation, value), jitter = _NAMED[color]
    offset = [float(x) for x in rng.uniform(-1.0, 1.0, 3)]
    return _rgb(
        hue + offset[0] * jitter[0],
        saturation + offset[1] * jitter[1],
        value + offset[2] * jitter[2],
    )


def accent_for(color: str, rng: np.random.Generator) -> str:
    """The name of a second colour that goes with `color`."""
    choices = _ACCENTS[color]
    return choices[int(rng.integers(len(choices)))]


def mix(first: Rgb, second: Rgb, share: float) -> Rgb:
    """`first` with `share` (0..1) of `second` stirred in."""
    return (
        first[0] + (second[0] - first[0]) * share,
        first[1] + (second[1] - first[1]) * share,
        first[2] + (second[2] - first[2]) * share,
    )


def luminance(rgb: Rgb) -> float:
    """Perceived brightness in 0..1 (Rec. 709 weights on display values)."""
    return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]


def _rgb(hue: float, saturation: float, value: float) -> Rgb:
    return colorsys.hsv_to_rgb(
        (hue % 360.0) / 360.0,
        min(max(saturation, 0.0), 1.0),
        min(max(value, 0.0), 1.0),
    )
