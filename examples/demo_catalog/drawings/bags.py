"""Bags and backpacks, standing."""

from __future__ import annotations

from examples.demo_catalog.outlines import band, box, curve, ellipse, mirrored
from examples.demo_catalog.palette import mix
from examples.demo_catalog.sketch import Sketch

_BRASS = (0.86, 0.70, 0.36)


_STEEL = (0.78, 0.79, 0.82)


def draw_bag(s: Sketch) -> None:
    """Shape: height, taper, handle length, style (tote, flap, bucket), width, corner radius, closure."""
    style = s.choice(3, 3)
    top, bottom = s.shape(0, 0.36, 0.50), 0.92
    wide, taper = s.shape(4, 0.30, 0.42), s.shape(1, -0.06, 0.09)
    metal = _BRASS if s.parent.shape[6] < 0.5 else _STEEL
    reach = s.shape(2, 0.08, 0.30)
    spread = wide * (0.5 if style == 0 else 0.72)
    for lift, tone in ((0.03, 0.7), (0.0, 1.0)) if style == 0 else ((0.0, 1.0),):
        handle = curve(
            (0.5 - spread, top + 0.06),
            (
                0.5 - spread * 0.95,
                top - reach - lift,
                0.5 + spread * 0.95,
                top - reach - lift,
                0.5 + spread,
                top + 0.06,
            ),
        )
        s.part(band(handle, 0.034), s.trim, material="leather", relief=0.014, strength=0.7, tone=tone)
    radius = s.shape(5, 0.02, 0.12)
    body = mirrored(
        curve(
            (0.5, top),
            (0.5 + wide - taper, top),
            (0.5 + wide - taper + 0.012, top + 0.02),
            (0.5 + wide, bottom - radius),
            (0.5 + wide, bottom, 0.5 + wide - radius, bottom),
            (0.5, bottom + 0.004),
        )
    )
    s.part(body, relief=0.06, strength=0.65)
    if style == 0:
        s.part(
            mirrored(
                curve(
                    (0.5, top - 0.004),
                    (0.5 + wide - taper, top - 0.004),
                    (0.5 + wide - taper + 0.012, top + 0.045),
                    (0.5, top + 0.05),
                )
            ),
            s.trim,
            relief=0.012,
        )
        s.badge(0.5, (top + bottom) / 2 + 0.03, 0.075)
        for x in (-spread, spread):
            s.part(
                box(0.5 + x - 0.022, top + 0.02, 0.5 + x + 0.022, top + 0.10, radius=0.01),
                s.trim,
                material="leather",
                relief=0.01,
            )
            s.part(ellipse(0.5 + x, top + 0.075, 0.008, 0.008), metal, material="metal", relief=0.004)
    elif style == 1:
        flap = top + (bottom - top) * 0.58
        s.part(
            mirrored(
                curve(
                    (0.5, top - 0.012),
                    (0.5 + wide - taper + 0.01, top - 0.012),
                    (0.5 + wide - taper + 0.02, flap - 0.10),
                    (0.5 + wide * 0.8, flap, 0.5, flap + 0.02),
                )
            ),
            s.trim if s.parent.trim == "accent" else None,
            relief=0.03,
            strength=0.7,
        )
        s.line(
            mirrored(curve((0.5 + wide - taper, flap - 0.12), (0.5 + wide * 0.75, flap - 0.02, 0.5, flap - 0.005)))[
                :28
            ],
            0.005,
            dashes=0.008,
            opacity=0.5,
        )
        s.part(box(0.465, flap - 0.035, 0.535, flap + 0.035, radius=0.014), metal, material="metal", relief=0.012)
    else:
        s.line(
            curve((0.5 - wide + taper, top + 0.10), (0.5, top + 0.13, 0.5 + wide - taper, top + 0.10)),
            0.016,
            s.trim,
            opacity=0.95,
        )
        for k in range(-3, 4):
            s.fold([(0.5 + k * wide * 0.25, top), (0.5 + k * wide * 0.27, top + 0.18)], 0.015, -0.2)
        s.badge(0.5, (top + bottom) / 2 + 0.08, 0.06)
    s.line(
        mirrored(
            curve(
                (0.5 + wide - 0.015, top + 0.12),
                (0.5 + wide - 0.02, bottom - radius),
                (0.5 + wide - 0.02, bottom - 0.02, 0.5 + wide - radius, bottom - 0.02),
                (0.5, bottom - 0.018),
            )
        ),
        0.004,
        dashes=0.008,
        opacity=0.4,
    )


def draw_backpack(s: Sketch) -> None:
    """Shape: width, height, roundness, pocket, straps, closing, side pockets."""
    wide, top, bottom = s.shape(0, 0.23, 0.31), s.shape(1, 0.10, 0.2), 0.93
    dome = s.shape(2, 0.05, 0.2)
    strap = mix(s.trim, (0.1, 0.1, 0.12), 0.25)
    for side in (1, -1):
        s.part(
            band(
                curve(
                    (0.5 + side * wide * 0.8, top + 0.12),
                    (0.5 + side * (wide + 0.13), 0.45, 0.5 + side * (wide - 0.02), 0.88),
                ),
                0.05,
            ),
            strap,
            pattern=False,
            relief=0.015,
        )
        if s.parent.shape[6] > 0.5:
            s.part(
                box(0.5 + side * wide - 0.05, 0.62, 0.5 + side * wide + 0.05, 0.88, radius=0.04), s.trim, relief=0.025
            )
    s.part(
        band(curve((0.44, top + 0.03), (0.44, top - 0.06, 0.56, top - 0.06, 0.56, top + 0.03)), 0.025),
        strap,
        relief=0.01,
    )
    s.part(
        mirrored(
            curve(
                (0.5, top),
                (0.5 + wide * 0.7, top, 0.5 + wide, top + dome * 0.6, 0.5 + wide, top + dome + 0.08),
                (0.5 + wide + 0.01, bottom - 0.07),
                (0.5 + wide + 0.01, bottom, 0.5 + wide - 0.07, bottom),
                (0.5, bottom),
            )
        ),
        relief=0.06,
        strength=0.65,
    )
    closing = s.choice(5, 3)
    pocket = s.shape(3, 0.55, 0.66)
    if closing == 0:
        s.line(
            curve(
                (0.5 - wide + 0.03, pocket - 0.10),
                (0.5 - wide + 0.03, top + 0.03, 0.5 + wide - 0.03, top + 0.03, 0.5 + wide - 0.03, pocket - 0.10),
            ),
            0.009,
            strap,
            opacity=0.9,
        )
    else:
        s.part(
            mirrored(
                curve(
                    (0.5, top - 0.01),
                    (
                        0.5 + wide * 0.75,
                        top - 0.01,
                        0.5 + wide + 0.012,
                        top + dome * 0.5,
                        0.5 + wide + 0.012,
                        top + dome + 0.08,
                    ),
                    (0.5 + wide * 0.9, top + 0.33, 0.5, top + 0.34),
                )
            ),
            s.trim if s.parent.trim == "accent" else None,
            relief=0.03,
        )
        for x in (-0.45, 0.45) if closing == 1 else (0.0,):
            s.part(
                box(0.5 + x * wide - 0.018, top + 0.20, 0.5 + x * wide + 0.018, pocket + 0.05, radius=0.008),
                strap,
                relief=0.008,
            )
            s.part(
                box(0.5 + x * wide - 0.024, pocket - 0.05, 0.5 + x * wide + 0.024, pocket - 0.01, radius=0.006),
                _BRASS,
                material="metal",
                relief=0.006,
            )
    s.part(
        box(0.5 - wide * 0.78, pocket, 0.5 + wide * 0.78, bottom - 0.035, radius=0.05),
        s.trim if s.parent.trim in ("accent", "light") and closing == 0 else None,
        relief=0.03,
        strength=0.6,
        tone=0.97,
    )
    s.line([(0.5 - wide * 0.66, pocket + 0.045), (0.5 + wide * 0.66, pocket + 0.045)], 0.007, strap, opacity=0.8)
    s.badge(0.5, pocket + 0.14, 0.05)
