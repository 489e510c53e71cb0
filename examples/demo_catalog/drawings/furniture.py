"""Chairs and sofas, standing."""

from __future__ import annotations

from examples.demo_catalog.outlines import band, box, curve, ellipse, mirrored
from examples.demo_catalog.palette import Rgb, mix
from examples.demo_catalog.sketch import Sketch

_LEGS: tuple[Rgb, ...] = (
    (0.66, 0.45, 0.27),
    (0.30, 0.19, 0.12),
    (0.15, 0.15, 0.17),
    (0.86, 0.74, 0.55),
    (0.80, 0.81, 0.84),
)


def draw_chair(s: Sketch) -> None:
    """Shape: back height, back form (slats, panel, round, wings), seat width, arms, legs, leg colour, spread."""
    back, wide = s.shape(0, 0.08, 0.22), s.shape(2, 0.22, 0.29)
    form, spread = s.choice(1, 4), s.shape(6, 0.0, 0.07)
    seat, ground = 0.56, 0.94
    legs = _LEGS[s.choice(5, len(_LEGS))]
    leg_material = "metal" if s.choice(5, 5) in (2, 4) else "wood"
    for side in (1, -1):
        s.part(
            band(
                [(0.5 + side * wide * 0.72, seat), (0.5 + side * (wide * 0.72 + spread * 0.6), ground - 0.07)],
                0.032,
                0.022,
            ),
            mix(legs, (0, 0, 0), 0.35),
            material=leg_material,
            relief=0.01,
        )
    _chair_back(s, form, back, wide, seat, legs, leg_material)
    for side in (1, -1):
        s.part(
            band([(0.5 + side * (wide - 0.015), seat + 0.03), (0.5 + side * (wide + spread), ground)], 0.042, 0.026),
            legs,
            material=leg_material,
            relief=0.012,
            strength=0.7,
        )
    if s.choice(4, 3) == 1:
        s.part(
            band([(0.5 - wide - spread * 0.4, 0.80), (0.5 + wide + spread * 0.4, 0.80)], 0.022),
            legs,
            material=leg_material,
            relief=0.008,
        )
    top = curve(
        (0.5 - wide * 0.88, seat - 0.055),
        (0.5 + wide * 0.88, seat - 0.055),
        (0.5 + wide + 0.035, seat + 0.03),
        (0.5, seat + 0.055, 0.5 - wide - 0.035, seat + 0.03),
    )
    s.part(top, relief=0.03, strength=0.5)
    s.part(
        curve(
            (0.5 - wide - 0.035, seat + 0.028),
            (0.5, seat + 0.053, 0.5 + wide + 0.035, seat + 0.028),
            (0.5 + wide + 0.03, seat + 0.085),
            (0.5, seat + 0.11, 0.5 - wide - 0.03, seat + 0.085),
        ),
        relief=0.02,
        strength=0.6,
        tone=0.8,
    )
    if s.parent.shape[3] > 0.55:
        for side in (1, -1):
            s.part(
                band([(0.5 + side * (wide + 0.02), seat + 0.03), (0.5 + side * (wide + 0.03), seat - 0.13)], 0.03),
                legs,
                material=leg_material,
                relief=0.01,
            )
            s.part(
                band(
                    curve(
                        (0.5 + side * (wide - 0.04), seat - 0.17),
                        (0.5 + side * (wide + 0.06), seat - 0.16, 0.5 + side * (wide + 0.065), seat - 0.11),
                    ),
                    0.042,
                ),
                legs if form == 0 else None,
                material=leg_material,
                relief=0.014,
                strength=0.7,
            )


def draw_sofa(s: Sketch) -> None:
    """Shape: width, back height, arm form, seats, legs, leg colour, back form, throw cushions."""
    wide, back = s.shape(0, 0.38, 0.46), s.shape(1, 0.24, 0.40)
    arm = s.shape(2, 0.055, 0.10)
    arm_top, seat, base, ground = s.shape(2, 0.54, 0.44), 0.60, 0.78, s.shape(4, 0.83, 0.90)
    legs = _LEGS[s.choice(5, len(_LEGS))]
    for x in (-0.92, -0.85 if s.parent.shape[4] < 0.3 else -0.92, 0.92):
        s.part(
            band([(0.5 + x * wide, base - 0.02), (0.5 + x * wide * 1.02, ground)], 0.034, 0.022),
            legs,
            material="wood",
            relief=0.01,
            strength=0.7,
        )
    inner = wide - arm
    count = 1 + s.choice(3, 3)
    rounded = s.shape(6, 0.02, 0.10)
    s.part(box(0.5 - wide + 0.01, back, 0.5 + wide - 0.01, base - 0.05, radius=rounded), relief=0.05, strength=0.65)
    for k in range(count):
        x0, x1 = 0.5 - inner + 2 * inner * k / count, 0.5 - inner + 2 * inner * (k + 1) / count
        s.part(box(x0 + 0.004, back + 0.025, x1 - 0.004, seat + 0.04, radius=0.045), relief=0.045, strength=0.6)
        if s.choice(6, 3) == 2:
            for bx in (0.3, 0.7):
                s.shade(ellipse(x0 + (x1 - x0) * bx, back + 0.12, 0.014, 0.014), 0.012, -0.5)
    s.shade(box(0.5 - inner, seat - 0.03, 0.5 + inner, seat + 0.04), 0.02, -0.35)
    for k in range(count):
        x0, x1 = 0.5 - inner + 2 * inner * k / count, 0.5 - inner + 2 * inner * (k + 1) / count
        s.part(box(x0 + 0.002, seat, x1 - 0.002, seat + 0.10, radius=0.03), relief=0.03, strength=0.6, tone=1.04)
    s.part(
        box(0.5 - wide + 0.02, seat + 0.09, 0.5 + wide - 0.02, base, radius=0.015), relief=0.03, strength=0.5, tone=0.84
    )
    for side in (1, -1):
        x0, x1 = sorted((0.5 + side * (wide + 0.01), 0.5 + side * inner))
        s.part(box(x0, arm_top, x1, base + 0.004, radius=arm * s.shape(6, 0.2, 0.5)), relief=0.035, strength=0.7)
    if s.parent.trim == "accent" or s.parent.shape[7] > 0.6:
        for side in (1, -1) if s.parent.shape[7] > 0.8 else (1,):
            x = 0.5 + side * (inner - 0.09)
            s.part(
                curve(
                    (x - 0.075, seat - 0.11),
                    (x, seat - 0.10, x + 0.07, seat - 0.13),
                    (x + 0.065, seat - 0.05, x + 0.085, seat + 0.02),
                    (x, seat + 0.01, x - 0.065, seat + 0.03),
                    (x - 0.06, seat - 0.04, x - 0.075, seat - 0.11),
                ),
                s.parent.accent_rgb,
                material="linen",
                relief=0.035,
                strength=0.7,
            )


def _chair_back(s: Sketch, form: int, back: float, wide: float, seat: float, legs: Rgb, leg_material: str) -> None:
    if form == 0:
        for side in (1, -1):
            s.part(
                band([(0.5 + side * wide * 0.84, seat), (0.5 + side * wide * 0.9, back)], 0.04),
                legs,
                material=leg_material,
                relief=0.012,
                strength=0.7,
            )
        count = 2 + s.choice(4, 3)
        for k in range(count):
            y = back + 0.03 + (seat - back - 0.14) * k / max(count - 1, 1)
            s.part(
                band(curve((0.5 - wide * 0.9, y), (0.5, y - 0.025, 0.5 + wide * 0.9, y)), 0.06 if k == 0 else 0.045),
                relief=0.014,
                strength=0.6,
            )
        return
    if form == 1:
        outline = box(0.5 - wide * 0.92, back, 0.5 + wide * 0.92, seat + 0.01, radius=0.05)
    elif form == 2:
        outline = ellipse(0.5, (back + seat) / 2 - 0.02, wide * 0.98, (seat - back) / 2)
        for side in (1, -1):
            s.part(
                band([(0.5 + side * wide * 0.55, seat), (0.5 + side * wide * 0.62, seat - 0.18)], 0.034),
                legs,
                material=leg_material,
                relief=0.01,
            )
    else:
        outline = mirrored(
            curve(
                (0.5, back),
                (0.5 + wide * 0.8, back - 0.01, 0.5 + wide * 1.18, back + 0.06),
                (0.5 + wide * 1.02, seat - 0.2, 0.5 + wide * 0.92, seat),
                (0.5, seat),
            )
        )
    s.part(outline, relief=0.05, strength=0.6)
    if s.choice(7, 3) == 1:
        for k in (-1, 0, 1):
            s.fold([(0.5 + k * wide * 0.45, back + 0.05), (0.5 + k * wide * 0.45, seat - 0.06)], 0.012, -0.35)
    elif s.choice(7, 3) == 2:
        for x in (-0.4, 0.0, 0.4):
            for y in (0.3, 0.6):
                s.shade(ellipse(0.5 + x * wide, back + (seat - back) * y, 0.013, 0.013), 0.012, -0.5)
