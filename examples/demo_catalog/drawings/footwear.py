"""Sneakers and boots, seen from the side with the toe to the left."""

from __future__ import annotations

from examples.demo_catalog.outlines import band, curve, ellipse
from examples.demo_catalog.palette import luminance, mix
from examples.demo_catalog.sketch import Sketch


def draw_sneaker(s: Sketch) -> None:
    """Shape: sole height, ankle height, toe, heel, side mark, toe cap, laces, sole colour."""
    sole, ankle = s.shape(0, 0.055, 0.11), s.shape(1, 0.47, 0.38) - (0.15 if s.parent.shape[1] > 0.75 else 0.0)
    toe, ground = s.shape(2, 0.54, 0.60), 0.78
    top_of_sole = ground - sole
    s.part(
        curve((0.60, ankle + 0.02), (0.72, ankle - 0.015, 0.86, ankle), (0.86, ankle + 0.12), (0.62, ankle + 0.12)),
        tone=0.45,
        pattern=False,
        relief=0.0,
    )
    upper = curve(
        (0.05, top_of_sole + 0.02),
        (0.03, toe, 0.16, toe - 0.01),
        (0.30, toe - 0.03, 0.44, ankle + 0.10),
        (0.50, ankle + 0.01, 0.575, ankle - 0.02),
        (0.62, ankle - 0.02),
        (0.67, ankle + 0.09, 0.78, ankle + 0.07),
        (0.84, ankle + 0.05, 0.87, ankle - 0.03),
        (0.91, ankle - 0.04, 0.905, ankle + 0.02),
        (0.90, ankle + 0.12, 0.945, top_of_sole - 0.08),
        (0.96, top_of_sole - 0.02, 0.95, top_of_sole + 0.02),
    )
    s.part(upper, relief=0.05, strength=0.7)
    if s.parent.shape[5] > 0.4:
        s.part(
            curve(
                (0.06, top_of_sole + 0.02),
                (0.045, toe + 0.02, 0.16, toe + 0.005),
                (0.24, toe + 0.03, 0.25, top_of_sole + 0.02),
            ),
            s.trim,
            relief=0.03,
            strength=0.7,
        )
    else:
        s.line(curve((0.21, toe - 0.01), (0.27, toe + 0.06, 0.26, top_of_sole)), 0.006, dashes=0.007)
    s.part(
        curve(
            (0.845, ankle + 0.025),
            (0.86, ankle, 0.87, ankle - 0.03),
            (0.91, ankle - 0.04, 0.905, ankle + 0.02),
            (0.90, ankle + 0.12, 0.945, top_of_sole - 0.08),
            (0.96, top_of_sole - 0.02, 0.95, top_of_sole + 0.01),
            (0.80, top_of_sole),
            (0.87, ankle + 0.16, 0.845, ankle + 0.025),
        ),
        s.trim,
        relief=0.02,
        strength=0.6,
    )
    _mark(s, ankle, top_of_sole)
    s.part(
        band(curve((0.30, toe - 0.02), (0.42, ankle + 0.125, 0.575, ankle + 0.012)), 0.07, 0.055),
        mix(s.parent.rgb, (1, 1, 1), 0.12),
        relief=0.02,
        strength=0.5,
        pattern=False,
    )
    laces = (0.97, 0.96, 0.94) if luminance(s.trim) < 0.75 else (0.2, 0.2, 0.24)
    count = 4 + s.choice(6, 3)
    for k in range(count):
        t = k / (count - 1)
        x, y = 0.325 + 0.215 * t, toe - 0.035 - (toe - ankle - 0.065) * t
        s.part(
            band([(x - 0.032, y - 0.012), (x + 0.045, y + 0.030)], 0.016),
            laces,
            material="none",
            relief=0.006,
            strength=0.5,
        )
    rubber = ((0.95, 0.94, 0.91), (0.95, 0.94, 0.91), (0.22, 0.22, 0.24), (0.72, 0.52, 0.32))[s.choice(7, 4)]
    heel = s.shape(3, 0.0, 0.03)
    s.part(
        curve(
            (0.045, top_of_sole + 0.005),
            (0.2, top_of_sole + 0.035, 0.5, top_of_sole + 0.012),
            (0.7, top_of_sole - heel, 0.95, top_of_sole - heel),
            (0.985, ground - 0.03, 0.95, ground),
            (0.10, ground),
            (0.02, ground - 0.02, 0.045, top_of_sole + 0.005),
        ),
        rubber,
        material="rubber",
        relief=0.02,
        strength=0.5,
    )
    s.line(
        curve((0.05, ground - sole * 0.45), (0.5, ground - sole * 0.3, 0.95, ground - sole * 0.5)),
        0.010,
        s.parent.accent_rgb if s.parent.trim == "accent" else None,
        opacity=0.8 if s.parent.trim == "accent" else 0.3,
    )


def draw_boot(s: Sketch) -> None:
    """Shape: shaft height, shaft width, heel height, toe, closing (laces, elastic, zip, buckle), sole colour."""
    shaft, wide, heel = s.shape(0, 0.08, 0.34), s.shape(1, 0.0, 0.06), s.shape(2, 0.03, 0.13)
    ground, toe = 0.90, s.shape(3, 0.66, 0.73)
    sole = ground - 0.035 - heel * 0.25
    s.part(ellipse(0.685, shaft, 0.17 + wide, 0.025), tone=0.4, relief=0.0)
    upper = curve(
        (0.10, sole),
        (0.07, toe, 0.22, toe - 0.01),
        (0.36, toe - 0.03, 0.46, 0.57),
        (0.52, 0.50, 0.515 - wide, shaft),
        (0.68, shaft + 0.035, 0.855 + wide, shaft),
        (0.845, 0.45, 0.865, 0.62),
        (0.90, 0.72, 0.88, sole - heel * 0.6),
        (0.6, sole - heel * 0.3, 0.5, sole),
    )
    s.part(upper, relief=0.06, strength=0.75)
    s.fold(curve((0.47, 0.60), (0.60, 0.64, 0.74, 0.60)), 0.02, -0.3)
    s.fold(curve((0.50, 0.55), (0.62, 0.57, 0.76, 0.54)), 0.016, -0.22)
    s.line(curve((0.29, toe - 0.02), (0.36, toe + 0.08, 0.33, sole)), 0.005, dashes=0.006)
    s.line(curve((0.60, sole - 0.02), (0.64, 0.70, 0.86, 0.66)), 0.005, dashes=0.006)
    closing = s.choice(4, 4)
    if closing == 0:
        for k in range(5 + s.choice(6, 3)):
            y = 0.60 - k * 0.055
            if y < shaft + 0.04:
                break
            s.part(band([(0.475, y), (0.575, y - 0.022)], 0.014), s.trim, material="none", relief=0.005)
            s.part(ellipse(0.585, y - 0.022, 0.009, 0.009), (0.85, 0.75, 0.5), material="metal", relief=0.004)
    elif closing == 1:
        s.part(
            curve((0.62, shaft + 0.02), (0.78, shaft + 0.02), (0.76, 0.5, 0.72, 0.60), (0.66, 0.5, 0.62, shaft + 0.02)),
            s.trim,
            material="corduroy",
            relief=0.01,
        )
    elif closing == 2:
        s.line(curve((0.72, shaft + 0.03), (0.71, 0.5, 0.74, 0.76)), 0.016, (0.75, 0.72, 0.65), opacity=0.95)
    else:
        s.part(band(curve((0.49, 0.58), (0.65, 0.64, 0.868, 0.60)), 0.045), s.trim, relief=0.012)
        s.part(ellipse(0.66, 0.618, 0.03, 0.034), (0.85, 0.72, 0.4), material="metal", relief=0.01)
        s.part(ellipse(0.66, 0.618, 0.016, 0.020), s.trim, relief=0.0)
    if s.parent.trim in ("accent", "light") and shaft < 0.3:
        s.part(
            band(curve((0.515 - wide, shaft + 0.02), (0.68, shaft + 0.055, 0.855 + wide, shaft + 0.02)), 0.05),
            s.trim,
            relief=0.012,
        )
    rubber = ((0.13, 0.12, 0.12), (0.36, 0.23, 0.14), (0.80, 0.70, 0.52))[s.choice(5, 3)]
    s.part(
        curve(
            (0.09, sole - 0.005),
            (0.35, sole + 0.03, 0.5, sole - 0.005),
            (0.66, sole - heel * 0.35, 0.885, sole - heel * 0.65),
            (0.885, ground),
            (0.66, ground),
            (0.62, sole + 0.03, 0.5, sole + 0.035),
            (0.2, ground, 0.10, ground - heel * 0.2),
            (0.07, sole + 0.02, 0.09, sole - 0.005),
        ),
        rubber,
        material="rubber",
        relief=0.015,
        strength=0.4,
    )


def _mark(s: Sketch, ankle: float, sole: float) -> None:
    """The mark on a sneaker's side."""
    color, middle = s.parent.accent_rgb, (ankle + sole) / 2 + 0.06
    kind = s.choice(4, 5)
    if kind == 0:
        for k in range(3):
            x = 0.50 + 0.075 * k
            s.part(
                [(x, middle - 0.07), (x + 0.035, middle - 0.08), (x + 0.005, sole + 0.01), (x - 0.035, sole + 0.01)],
                color,
                relief=0.008,
            )
    elif kind == 1:
        s.part(
            curve(
                (0.42, middle + 0.02),
                (0.60, sole - 0.02, 0.84, middle - 0.10),
                (0.60, middle + 0.06, 0.42, middle + 0.02),
            ),
            color,
            relief=0.01,
        )
    elif kind == 2:
        s.part(band(curve((0.36, sole - 0.01), (0.55, middle - 0.10, 0.80, sole - 0.01)), 0.04), color, relief=0.01)
    elif kind == 3:
        s.badge(0.66, middle, 0.06)
