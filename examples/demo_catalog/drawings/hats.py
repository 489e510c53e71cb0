"""Hats: caps, brimmed hats, beanies and bucket hats."""

from __future__ import annotations

import math

from examples.demo_catalog.outlines import curve, ellipse, mirrored
from examples.demo_catalog.sketch import Sketch


def draw_hat(s: Sketch) -> None:
    """Shape: style (cap, brimmed, beanie, bucket), crown height, brim, band, pompom, tilt."""
    (_cap, _brimmed, _beanie, _bucket)[s.choice(0, 4)](s)


def _cap(s: Sketch) -> None:
    crown = s.shape(1, 0.18, 0.28)
    dome = curve(
        (0.20, 0.66),
        (0.17, crown + 0.05, 0.34, crown, 0.56, crown),
        (0.78, crown, 0.90, 0.40, 0.885, 0.66),
        (0.55, 0.71, 0.20, 0.66),
    )
    s.part(dome, relief=0.09, strength=0.75)
    for x, bend in ((0.55, 0.40), (0.55, 0.72)):
        s.line(curve((x, crown + 0.005), (bend - 0.03, 0.40, bend, 0.68)), 0.005, opacity=0.5)
    s.part(ellipse(0.555, crown, 0.025, 0.014), s.trim, relief=0.008)
    s.badge(0.39, 0.48, 0.075)
    reach = s.shape(2, 0.02, 0.09)
    s.part(
        curve(
            (0.195, 0.655),
            (0.40, 0.60, 0.62, 0.685),
            (0.56, 0.77, 0.30, 0.80),
            (0.08, 0.80, reach, 0.75),
            (0.06, 0.68, 0.195, 0.655),
        ),
        s.trim,
        relief=0.03,
        strength=0.7,
    )
    s.line(curve((0.09, 0.74), (0.25, 0.66, 0.54, 0.715)), 0.004, dashes=0.008)


def _brimmed(s: Sketch) -> None:
    crown, brim = s.shape(1, 0.20, 0.32), s.shape(2, 0.36, 0.46)
    s.part(ellipse(0.5, 0.66, brim, 0.115), relief=0.05, strength=0.7)
    s.shade(ellipse(0.53, 0.66, 0.27, 0.06), 0.03, -0.35)
    top = crown + (0.05 if s.parent.shape[5] > 0.5 else 0.0)
    s.part(
        mirrored(
            curve(
                (0.5, top),
                (0.57, crown - 0.03, 0.64, crown, 0.67, crown + 0.06),
                (0.70, 0.5, 0.735, 0.645),
                (0.65, 0.70, 0.5, 0.705),
            )
        ),
        relief=0.07,
        strength=0.7,
    )
    s.fold(curve((0.46, top + 0.02), (0.5, top + 0.07, 0.55, top + 0.12)), 0.03, -0.3)
    high = s.shape(3, 0.035, 0.10)
    s.part(
        curve((0.27, 0.64 - high), (0.5, 0.70 - high, 0.73, 0.64 - high), (0.738, 0.65), (0.5, 0.715, 0.262, 0.65)),
        s.trim if s.parent.trim != "none" else s.parent.accent_rgb,
        relief=0.012,
    )


def _beanie(s: Sketch) -> None:
    crown, cuff = s.shape(1, 0.16, 0.30), s.shape(3, 0.10, 0.20)
    if s.parent.shape[4] > 0.45:
        for k in range(14):
            a = k * 2.4
            s.part(
                ellipse(0.5 + 0.04 * math.cos(a), crown - 0.02 + 0.04 * math.sin(a), 0.045, 0.045),
                s.parent.accent_rgb,
                material="suede",
                relief=0.02,
                strength=0.5,
            )
    s.part(
        mirrored(curve((0.5, crown), (0.66, crown, 0.80, crown + 0.22, 0.80, 0.72), (0.5, 0.76))),
        relief=0.09,
        strength=0.7,
    )
    for k in (-2, -1, 0, 1, 2):
        s.fold(curve((0.5 + 0.02 * k, crown + 0.03), (0.5 + 0.13 * k, crown + 0.16, 0.5 + 0.13 * k, 0.7)), 0.012, -0.16)
    s.part(
        curve((0.185, 0.76 - cuff), (0.5, 0.79 - cuff, 0.815, 0.76 - cuff), (0.82, 0.79), (0.5, 0.83, 0.18, 0.79)),
        s.trim,
        material="wool",
        relief=0.03,
        strength=0.6,
    )
    for k in range(-9, 10):
        s.line([(0.5 + k * 0.033, 0.775 - cuff), (0.5 + k * 0.0335, 0.80)], 0.005, opacity=0.35)


def _bucket(s: Sketch) -> None:
    crown, brim = s.shape(1, 0.24, 0.34), s.shape(2, 0.33, 0.42)
    s.part(
        mirrored(curve((0.5, 0.56), (0.5 + 0.25, 0.55), (0.5 + brim, 0.74), (0.70, 0.80, 0.5, 0.80))),
        relief=0.05,
        strength=0.7,
    )
    for k in range(3):
        s.line(
            curve(
                (0.5 - brim + 0.05 - k * 0.0 + 0.03 * (2 - k), 0.73 - 0.035 * (2 - k)),
                (0.5, 0.79 - 0.04 * (2 - k), 0.5 + brim - 0.05 - 0.03 * (2 - k), 0.73 - 0.035 * (2 - k)),
            ),
            0.004,
            dashes=0.009,
            opacity=0.5,
        )
    s.part(
        mirrored(
            curve((0.5, crown), (0.62, crown, 0.68, crown, 0.70, crown + 0.05), (0.755, 0.57), (0.65, 0.61, 0.5, 0.61))
        ),
        relief=0.06,
        strength=0.7,
    )
    s.line(curve((0.25, 0.565), (0.5, 0.625, 0.75, 0.565)), 0.014, s.trim, opacity=0.9)
    s.badge(0.5, 0.47, 0.055)
