"""Trousers and skirts, laid flat."""

from __future__ import annotations

from examples.demo_catalog.outlines import box, curve, ellipse, flipped, mirrored
from examples.demo_catalog.sketch import Sketch


def draw_trousers(s: Sketch) -> None:
    """Shape: leg width, flare, length, waist, stance, turn-ups, pockets."""
    waist, hem = s.shape(3, 0.13, 0.17), s.shape(2, 0.70, 0.95) if s.parent.shape[2] > 0.25 else s.shape(2, 0.5, 0.6)
    hip, gap = waist + 0.035, s.shape(4, 0.02, 0.07)
    leg_top, leg_hem = 0.155, s.shape(1, 0.065, 0.165)
    crotch = 0.36
    outer = 0.5 + gap + leg_hem
    leg = curve(
        (0.5, 0.07),
        (0.5 + waist, 0.07),
        (0.5 + hip, 0.16, 0.5 + max(hip, gap + leg_top * 0.9), 0.28),
        (0.5 + max(hip, outer - 0.5) * 0.98, 0.5, outer, hem),
        (0.5 + gap, hem + 0.012),
        (0.5 + gap * 0.6, 0.55, 0.5, crotch),
    )
    for side, outline in ((-1, flipped(leg)), (1, leg)):
        s.part(outline, relief=0.05, strength=0.65)
        s.fold(
            curve((0.5 + side * 0.02, crotch), (0.5 + side * 0.08, crotch + 0.03, 0.5 + side * 0.13, crotch - 0.02)),
            0.02,
            -0.25,
        )
        s.fold(
            [(0.5 + side * (gap + leg_hem * 0.5), 0.42), (0.5 + side * (gap + leg_hem * 0.5), hem - 0.04)], 0.02, 0.10
        )
        s.fold(
            curve(
                (0.5 + side * (gap + leg_hem * 0.2), 0.62),
                (0.5 + side * (gap + leg_hem * 0.6), 0.64, 0.5 + side * (gap + leg_hem * 0.9), 0.60),
            ),
            0.016,
            -0.16,
        )
        if s.parent.shape[5] > 0.5:
            cuff = [
                (0.5 + side * gap, hem - 0.035),
                (0.5 + side * (gap + leg_hem + 0.004), hem - 0.04),
                (0.5 + side * (gap + leg_hem + 0.004), hem),
                (0.5 + side * gap, hem + 0.013),
            ]
            s.part(cuff, s.trim if s.parent.trim != "none" else None, relief=0.012, tone=0.95)
    seam = (0.85, 0.6, 0.3) if s.parent.material == "denim" else None
    s.line(curve((0.5, 0.12), (0.5, crotch)), 0.005, seam, opacity=0.6)
    s.line(curve((0.53, 0.12), (0.535, 0.2, 0.5, 0.26)), 0.005, seam, opacity=0.6, dashes=0.007)
    for side in (1, -1):
        s.line(
            curve((0.5 + side * waist * 0.62, 0.115), (0.5 + side * waist * 0.7, 0.19, 0.5 + side * hip * 0.99, 0.20)),
            0.006,
            seam,
            opacity=0.7,
        )
        if s.parent.shape[6] > 0.7:
            x = 0.5 + side * (gap + leg_hem * 0.55)
            s.part(box(x - 0.05, 0.46, x + 0.05, 0.57, radius=0.008), relief=0.008, tone=0.94)
            s.part(box(x - 0.055, 0.455, x + 0.055, 0.485, radius=0.008), s.trim, relief=0.008)
    s.part(
        mirrored(curve((0.5, 0.066), (0.5 + waist + 0.002, 0.06), (0.5 + waist + 0.008, 0.115), (0.5, 0.125))),
        s.trim if s.parent.trim != "none" else None,
        relief=0.012,
        strength=0.5,
    )
    for x in (-0.6, 0.6):
        s.part(box(0.5 + x * waist - 0.008, 0.055, 0.5 + x * waist + 0.008, 0.125), relief=0.006, tone=0.92)
    s.part(ellipse(0.5, 0.093, 0.011, 0.011), (0.8, 0.72, 0.5), material="metal", relief=0.005)


def draw_skirt(s: Sketch) -> None:
    """Shape: flare, length, waist, pleats, curve of the sides, buttons, band, border."""
    waist, flare, hem = s.shape(2, 0.12, 0.17), s.shape(0, 0.18, 0.42), s.shape(1, 0.58, 0.93)
    top = 0.12
    bulge = s.shape(4, -0.05, 0.07)
    skirt = mirrored(
        curve(
            (0.5, top),
            (0.5 + waist, top),
            (0.5 + (waist + flare) / 2 + bulge, (top + hem) / 2 - 0.06, 0.5 + flare, hem - 0.03),
            (0.5 + flare * 0.55, hem + 0.035, 0.5, hem + 0.02),
        )
    )
    s.part(skirt, relief=0.055, strength=0.6)
    pleats = (0, 5, 9, 14)[s.choice(3, 4)]
    for k in range(-pleats // 2 + 1, pleats // 2 + 1):
        x = 2 * k / max(pleats, 1)
        path = curve(
            (0.5 + waist * x, top + 0.05),
            (0.5 + (waist + flare) / 2 * x, (top + hem) / 2, 0.5 + flare * x * 0.98, hem + 0.02),
        )
        s.fold([(px + 0.012, py) for px, py in path], 0.016, 0.14)
        s.fold(path, 0.014, -0.34)
    if not pleats:
        for x in (-0.6, -0.2, 0.35, 0.7):
            s.fold(
                curve((0.5 + waist * x, top + 0.16), (0.5 + flare * x * 0.8, hem - 0.2, 0.5 + flare * x * 0.95, hem)),
                0.035,
                -0.2,
            )
    if s.parent.shape[5] > 0.65:
        for k in range(6):
            s.part(
                ellipse(0.5, top + 0.09 + k * (hem - top - 0.12) / 6, 0.012, 0.012),
                s.trim,
                material="none",
                relief=0.006,
            )
    if s.parent.shape[7] > 0.55:
        s.part(
            curve(
                (0.5 - flare, hem - 0.07),
                (0.5, hem - 0.01, 0.5 + flare, hem - 0.07),
                (0.5 + flare, hem - 0.03),
                (0.5 + flare * 0.5, hem + 0.035, 0.5, hem + 0.02),
                (0.5 - flare * 0.5, hem + 0.035, 0.5 - flare, hem - 0.03),
            ),
            s.trim,
            relief=0.012,
            strength=0.4,
        )
    deep = s.shape(6, 0.03, 0.075)
    s.part(
        mirrored(
            curve(
                (0.5, top - 0.012),
                (0.5 + waist - 0.004, top - 0.02),
                (0.5 + waist + 0.006, top + deep - 0.01),
                (0.5, top + deep + 0.004),
            )
        ),
        s.trim,
        relief=0.014,
        strength=0.5,
    )
