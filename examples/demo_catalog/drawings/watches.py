"""Wristwatches, seen from above."""

from __future__ import annotations

import math

from examples.demo_catalog.outlines import box, curve, ellipse
from examples.demo_catalog.palette import luminance, mix
from examples.demo_catalog.sketch import Sketch

_BRASS = (0.86, 0.70, 0.36)


_STEEL = (0.78, 0.79, 0.82)


def draw_watch(s: Sketch) -> None:
    """Shape: case size, case form, strap width, dial colour, numerals, hands, buckle, crown."""
    case, square = s.shape(0, 0.15, 0.23), s.parent.shape[1] > 0.65
    strap = case * s.shape(2, 0.55, 0.85)
    metal = (_STEEL, _BRASS, (0.2, 0.2, 0.22), (0.87, 0.62, 0.5))[s.choice(7, 4)]
    for up in (-1, 1):
        end = 0.5 + up * 0.45
        s.part(
            [
                (0.5 - strap, 0.5),
                (0.5 + strap, 0.5),
                (0.5 + strap * 0.82, end),
                (0.5, end + up * 0.012),
                (0.5 - strap * 0.82, end),
            ],
            relief=0.03,
            strength=0.7,
        )
        for side in (-1, 1):
            s.line(
                [(0.5 + side * (strap - 0.014), 0.5), (0.5 + side * (strap * 0.82 - 0.012), end)],
                0.004,
                mix(s.parent.rgb, (1, 1, 1), 0.45),
                dashes=0.009,
                opacity=0.7,
            )
        if s.parent.material == "metal":
            for k in range(1, 9):
                y = 0.5 + up * (case + 0.26 * k / 8 + 0.02)
                s.line([(0.5 - strap, y), (0.5 + strap, y)], 0.006, opacity=0.6)
    for k in range(4):
        s.part(
            ellipse(0.5, 0.76 + k * 0.04, 0.008, 0.008), mix(s.parent.rgb, (0, 0, 0), 0.7), material="none", relief=0.0
        )
    s.part(
        box(0.5 - strap - 0.012, 0.055, 0.5 + strap + 0.012, 0.10, radius=0.012), metal, material="metal", relief=0.012
    )
    s.part(box(0.5 + case, 0.48, 0.5 + case + 0.035, 0.52, radius=0.008), metal, material="metal", relief=0.01)
    form = (
        (lambda r: box(0.5 - r, 0.5 - r, 0.5 + r, 0.5 + r, radius=0.3 * r))
        if square
        else (lambda r: ellipse(0.5, 0.5, r, r))
    )
    s.part(form(case + 0.015), metal, material="metal", relief=0.02, strength=0.8)
    dial = ((0.97, 0.97, 0.95), (0.12, 0.13, 0.17), s.parent.rgb, s.parent.accent_rgb)[s.choice(3, 4)]
    s.part(form(case - 0.015), dial, material="none", relief=0.03, strength=0.3)
    ink = (0.1, 0.1, 0.12) if luminance(dial) > 0.5 else (0.96, 0.95, 0.9)
    step = (1, 3, 2)[s.choice(4, 3)]
    for hour in range(0, 12, step):
        c, sn = math.cos(math.radians(hour * 30)), math.sin(math.radians(hour * 30))
        outer, inner = case - 0.03, case - (0.05 if hour % 3 else 0.065)
        s.line(
            [(0.5 + c * inner, 0.5 + sn * inner), (0.5 + c * outer, 0.5 + sn * outer)],
            0.012 if hour % 3 == 0 else 0.007,
            ink,
            opacity=1.0,
        )
    for angle, length, width in ((-60, 0.5, 0.016), (-60 + 120 * s.parent.shape[5], 0.74, 0.011)):
        c, sn = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        s.line([(0.5, 0.5), (0.5 + c * length * case, 0.5 + sn * length * case)], width, ink, opacity=1.0)
    s.part(ellipse(0.5, 0.5, 0.012, 0.012), s.parent.accent_rgb, material="none", relief=0.004)
    s.shine(
        curve(
            (0.5 - case * 0.6, 0.5 - case * 0.1),
            (0.5 - case * 0.5, 0.5 - case * 0.6, 0.5, 0.5 - case * 0.7),
            (0.5 - case * 0.2, 0.5 - case * 0.4, 0.5 - case * 0.6, 0.5 - case * 0.1),
        ),
        0.16,
    )
