"""Mugs, vases, lamps and cushions."""

from __future__ import annotations

from examples.demo_catalog.outlines import Outline, band, box, curve, ellipse, mirrored
from examples.demo_catalog.palette import Rgb, mix
from examples.demo_catalog.sketch import Sketch

_WOOD: Rgb = (0.66, 0.45, 0.27)
_METALS: tuple[Rgb, ...] = ((0.86, 0.70, 0.36), (0.78, 0.79, 0.82), (0.16, 0.16, 0.18))


def draw_mug(s: Sketch) -> None:
    """Shape: height, width, taper, handle, roundness, band of glaze, drink."""
    height, wide = s.shape(0, 0.48, 0.68), s.shape(1, 0.24, 0.31)
    top, bottom = 0.88 - height, 0.88
    taper, belly = s.shape(2, -0.01, 0.07), s.shape(4, -0.02, 0.05)
    x = 0.43
    reach, thick = s.shape(3, 0.17, 0.25), 0.055
    handle = curve(
        (x + wide - 0.03, top + height * 0.2),
        (
            x + wide + reach,
            top + height * 0.12,
            x + wide + reach,
            top + height * 0.85,
            x + wide - 0.04,
            top + height * 0.78,
        ),
    )
    s.part(band(handle, thick), s.trim if s.parent.trim in ("accent", "dark") else None, relief=0.022, strength=0.8)
    body = mirrored(
        curve(
            (x, top),
            (x + wide, top),
            (x + wide + belly, top + height * 0.5, x + wide - taper, bottom - 0.05),
            (x + wide - taper - 0.01, bottom, x + wide - taper - 0.06, bottom + 0.008),
            (x, bottom + 0.025),
        ),
        x,
    )
    s.part(body, relief=0.05, strength=0.4, wrap=(x, wide + 0.03))
    _turned(s, x, wide, top, bottom)
    if s.parent.shape[5] > 0.6:
        s.part(
            mirrored(
                curve(
                    (x, top + height * 0.72),
                    (x + wide + belly * 0.5 - taper * 0.7, top + height * 0.70),
                    (x + wide - taper, bottom - 0.05),
                    (x + wide - taper - 0.01, bottom, x + wide - taper - 0.06, bottom + 0.008),
                    (x, bottom + 0.025),
                ),
                x,
            ),
            s.trim,
            relief=0.04,
            strength=0.5,
        )
    if s.parent.pattern == "plain":
        s.badge(x, top + height * 0.48, 0.09)
    s.part(ellipse(x, top, wide, 0.052), mix(s.parent.rgb, (1, 1, 1), 0.25), pattern=False, relief=0.01, strength=0.3)
    s.part(
        ellipse(x, top + 0.006, wide - 0.022, 0.040),
        mix(s.parent.rgb, (0, 0, 0), 0.35),
        pattern=False,
        material="none",
        relief=0.0,
    )
    if s.parent.shape[6] > 0.5:
        s.part(ellipse(x, top + 0.016, wide - 0.035, 0.028), (0.30, 0.18, 0.10), material="none", relief=0.008)
    s.shine(
        curve(
            (x - wide * 0.72, top + height * 0.18),
            (x - wide * 0.60, top + height * 0.18),
            (x - wide * 0.62, top + height * 0.6, x - wide * 0.56, top + height * 0.8),
            (x - wide * 0.66, top + height * 0.8),
            (x - wide * 0.74, top + height * 0.5, x - wide * 0.72, top + height * 0.18),
        ),
        0.35,
    )


def draw_vase(s: Sketch) -> None:
    """Shape: belly, belly height, neck, lip, foot, height, flowers, handles."""
    top, bottom = s.shape(5, 0.16, 0.36), 0.93
    belly, neck, lip, foot = (
        s.shape(0, 0.14, 0.30),
        s.shape(2, 0.045, 0.12),
        s.shape(3, 0.07, 0.17),
        s.shape(4, 0.08, 0.15),
    )
    height = bottom - top
    middle = top + height * s.shape(1, 0.38, 0.72)
    if s.parent.shape[6] > 0.72:
        _stems(s, top)
    if s.parent.shape[7] > 0.75:
        for side in (1, -1):
            s.part(
                band(
                    curve(
                        (0.5 + side * neck, top + height * 0.12),
                        (0.5 + side * (belly + 0.12), top + height * 0.1, 0.5 + side * belly * 0.9, middle - 0.05),
                    ),
                    0.035,
                ),
                s.trim,
                relief=0.015,
                strength=0.8,
            )
    body = mirrored(
        curve(
            (0.5, top),
            (0.5 + lip, top),
            (0.5 + neck - 0.01, top + height * 0.06, 0.5 + neck, top + height * 0.18),
            (0.5 + neck, top + height * 0.28, 0.5 + belly, middle - height * 0.16, 0.5 + belly, middle),
            (0.5 + belly, middle + height * 0.2, 0.5 + foot, bottom - height * 0.1, 0.5 + foot, bottom),
            (0.5, bottom + 0.022),
        )
    )
    s.part(body, relief=0.055, strength=0.55, wrap=(0.5, belly + 0.02))
    _turned(s, 0.5, belly, top, bottom)
    s.part(ellipse(0.5, top, lip, 0.026), mix(s.parent.rgb, (1, 1, 1), 0.2), pattern=False, relief=0.008)
    s.part(ellipse(0.5, top + 0.003, lip * 0.84, 0.018), mix(s.parent.rgb, (0, 0, 0), 0.6), material="none", relief=0.0)
    s.shine(
        curve(
            (0.5 - belly * 0.70, middle - height * 0.06),
            (0.5 - belly * 0.62, middle - height * 0.2, 0.5 - belly * 0.35, middle - height * 0.22),
            (0.5 - belly * 0.5, middle - height * 0.1, 0.5 - belly * 0.52, middle + height * 0.12),
            (0.5 - belly * 0.66, middle + height * 0.06, 0.5 - belly * 0.70, middle - height * 0.06),
        ),
        0.4,
    )


def draw_lamp(s: Sketch) -> None:
    """Shape: shade height, top width, bottom width, base form, base width, metal, stem."""
    high, narrow, wide = s.shape(0, 0.22, 0.38), s.shape(1, 0.10, 0.24), s.shape(2, 0.24, 0.36)
    shade_top = 0.07
    shade_bottom = shade_top + high
    metal = (*_METALS, _WOOD)[s.choice(5, 4)]
    base = s.choice(3, 4)
    _lamp_base(s, base, metal, shade_bottom)
    body = mirrored(
        curve(
            (0.5, shade_top),
            (0.5 + narrow, shade_top),
            (0.5 + wide, shade_bottom),
            (0.5 + wide * 0.6, shade_bottom + 0.028, 0.5, shade_bottom + 0.028),
        )
    )
    s.part(body, relief=0.04, strength=0.45, wrap=(0.5, wide + 0.03))
    s.shade(ellipse(0.5, shade_bottom - high * 0.35, wide * 0.45, high * 0.36), 0.07, 0.42)
    if s.parent.trim != "none":
        s.part(
            band(
                curve((0.5 - wide, shade_bottom - 0.014), (0.5, shade_bottom + 0.03, 0.5 + wide, shade_bottom - 0.014)),
                0.022,
            ),
            s.trim,
            relief=0.006,
        )
        s.part(band([(0.5 - narrow, shade_top + 0.01), (0.5 + narrow, shade_top + 0.01)], 0.018), s.trim, relief=0.006)


def draw_cushion(s: Sketch) -> None:
    """Shape: width, height, plumpness, piping, tassels, button, border."""
    wide, high = s.shape(0, 0.33, 0.42), s.shape(1, 0.24, 0.42)
    pinch = s.shape(2, 0.02, 0.07)
    if s.choice(6, 5) == 0:
        outline = ellipse(0.5, 0.5, 0.38, 0.38)
    else:
        x, y, c = wide, high, pinch
        outline = curve(
            (0.5 - x, 0.5 - y),
            (0.5, 0.5 - y + c, 0.5 + x, 0.5 - y),
            (0.5 + x - c, 0.5, 0.5 + x, 0.5 + y),
            (0.5, 0.5 + y - c, 0.5 - x, 0.5 + y),
            (0.5 - x + c, 0.5, 0.5 - x, 0.5 - y),
        )
        if s.parent.shape[4] > 0.65:
            for cx, cy in ((-x, -y), (x, -y), (-x, y), (x, y)):
                for k in (-1, 0, 1):
                    s.part(
                        band([(0.5 + cx, 0.5 + cy), (0.5 + cx * 1.14 + 0.02 * k, 0.5 + cy * 1.16 - 0.02 * k)], 0.014),
                        s.trim,
                        relief=0.006,
                    )
    if s.parent.shape[3] > 0.4:
        s.part(band([*outline, outline[0]], 0.03), s.trim, relief=0.012)
    s.part(outline, relief=0.13, strength=0.75)
    for dx, dy in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        s.fold(
            [(0.5 + dx * wide * 0.9, 0.5 + dy * high * 0.9), (0.5 + dx * wide * 0.55, 0.5 + dy * high * 0.6)],
            0.025,
            -0.2,
        )
    if s.parent.shape[5] > 0.7:
        s.shade(ellipse(0.5, 0.5, 0.06, 0.06), 0.05, -0.35)
        s.part(ellipse(0.5, 0.5, 0.026, 0.026), s.trim, relief=0.012)
    elif s.parent.pattern == "plain":
        s.badge(0.5, 0.5, 0.12)


def _turned(s: Sketch, x: float, radius: float, top: float, bottom: float) -> None:
    """The light on a round body: dark towards the right, a bright band on the left."""
    s.shade(box(x + radius * 0.62, top - 0.02, x + radius * 1.3, bottom + 0.05), 0.06, -0.42)
    s.shade(box(x - radius * 1.3, top - 0.02, x - radius * 0.93, bottom + 0.05), 0.035, -0.25)
    s.shade(box(x - radius * 0.6, top, x - radius * 0.25, bottom), 0.05, 0.16)


def _stems(s: Sketch, top: float) -> None:
    bloom = s.parent.accent_rgb
    for lean, high in ((-0.16, 0.05), (0.02, 0.04), (0.17, 0.07)):
        end: Outline = curve((0.5, top + 0.05), (0.5 + lean * 0.3, top - 0.08, 0.5 + lean, high + 0.03))
        s.part(band(end, 0.011), (0.30, 0.45, 0.25), material="none", relief=0.004)
        s.part(ellipse(0.5 + lean, high + 0.03, 0.045, 0.038), bloom, material="suede", relief=0.02, strength=0.9)
        s.part(ellipse(0.5 + lean * 0.7, top - 0.06, 0.03, 0.012), (0.36, 0.52, 0.30), material="none", relief=0.006)


def _lamp_base(s: Sketch, form: int, metal: Rgb, shade_bottom: float) -> None:
    wide, bottom = s.shape(4, 0.12, 0.20), 0.93
    material = "wood" if metal == _WOOD else "metal"
    s.part(box(0.487, shade_bottom - 0.02, 0.513, bottom - 0.02), metal, material=material, relief=0.01, strength=0.8)
    if form == 0:  # a round foot on a rod
        s.part(ellipse(0.5, bottom - 0.02, wide, 0.030), metal, material=material, relief=0.012, strength=0.8)
    elif form == 1:  # a ceramic belly in the product's colour
        y = (shade_bottom + bottom) / 2 + 0.03
        s.part(
            ellipse(0.5, y, wide * 0.95, (bottom - shade_bottom) * 0.40),
            pattern=False,
            material="ceramic",
            relief=0.05,
            strength=0.8,
        )
        _turned(s, 0.5, wide, y - 0.15, bottom)
        s.part(
            box(0.5 - wide * 0.6, bottom - 0.03, 0.5 + wide * 0.6, bottom, radius=0.01),
            metal,
            material=material,
            relief=0.01,
        )
    elif form == 2:  # a tripod
        for x in (-1.25, 1.25, 0.25):
            s.part(
                band([(0.5, shade_bottom + 0.05), (0.5 + x * wide, bottom)], 0.026, 0.018),
                metal,
                material=material,
                relief=0.01,
                strength=0.8,
            )
    else:  # a cone
        s.part(
            mirrored(
                curve(
                    (0.5, shade_bottom + 0.05),
                    (0.525, shade_bottom + 0.05),
                    (0.54, bottom - 0.15, 0.5 + wide, bottom),
                    (0.5, bottom + 0.02),
                )
            ),
            s.trim,
            material="ceramic",
            relief=0.035,
            strength=0.8,
        )
