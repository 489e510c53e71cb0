"""Dresses, laid flat."""

from __future__ import annotations

from examples.demo_catalog.drawings.torso import back_of_neck, draw_sleeves
from examples.demo_catalog.outlines import band, curve, ellipse, mirrored
from examples.demo_catalog.sketch import Sketch


def draw_dress(s: Sketch) -> None:
    """Shape: sleeves, flare, length, neck, waist height, belt, waist width."""
    flare, hem = s.shape(1, 0.15, 0.36), s.shape(2, 0.74, 0.96)
    waist_y, waist = s.shape(4, 0.37, 0.46), s.shape(6, 0.095, 0.13)
    sleeves = s.choice(0, 4)
    shoulder = 0.10 if sleeves == 0 else 0.155
    neck_variant = s.choice(3, 3)
    if sleeves == 2:
        draw_sleeves(s, shoulder=0.155, length=0.13, width=0.10, angle=42, cuff=False, top=0.115)
    elif sleeves == 3:
        draw_sleeves(s, shoulder=0.155, length=0.42, width=0.09, angle=66, cuff=False, top=0.115)
    depth = (0.06, 0.15, 0.09)[neck_variant]
    neck = (0.07, 0.075, 0.085)[neck_variant]
    top = 0.07
    if sleeves == 0:  # straps
        for x in (0.42, 0.58):
            s.part([(x - 0.009, 0.06), (x + 0.009, 0.06), (x + 0.012, 0.20), (x - 0.012, 0.20)], s.trim, relief=0.006)
        bodice = mirrored(
            curve(
                (0.5, 0.165 + 0.03 * (neck_variant == 1)),
                (0.55, 0.14, 0.59, 0.15),
                (0.625, 0.19),
                (0.60, 0.26, 0.5 + waist, waist_y),
            )
        )
    else:
        s.part(back_of_neck(neck, top, depth), tone=0.62, relief=0.0)
        bodice = mirrored(
            curve(
                (0.5, top + depth),
                (
                    0.5 + neck * (0.5 if neck_variant == 1 else 0.95),
                    top + depth * (0.6 if neck_variant == 1 else 0.95),
                    0.5 + neck,
                    top,
                ),
                (0.5 + shoulder, top + 0.035),
                (0.5 + shoulder - 0.015, 0.19, 0.5 + 0.145, 0.24),
                (0.5 + 0.125, 0.31, 0.5 + waist, waist_y),
            )
        )
    skirt = mirrored(
        curve(
            (0.5, waist_y - 0.01),
            (0.5 + waist, waist_y - 0.01),
            (0.5 + waist + 0.06, waist_y + 0.06, 0.5 + flare - 0.02, hem - 0.25, 0.5 + flare, hem - 0.015),
            (0.5 + flare * 0.5, hem + 0.02, 0.5, hem + 0.012),
        )
    )
    s.part(skirt, relief=0.06, strength=0.6)
    for k in (-3, -2, -1, 1, 2, 3):
        x = k / 3.4
        s.fold(
            curve(
                (0.5 + waist * x * 0.8, waist_y + 0.03),
                (0.5 + flare * x * 0.55, (waist_y + hem) / 2, 0.5 + flare * x * 0.92, hem - 0.02),
            ),
            0.022,
            -0.22 if k % 2 else 0.12,
        )
    s.part(bodice, relief=0.045, strength=0.6)
    if s.parent.shape[5] > 0.4:
        half = 0.012 + 0.012 * (s.parent.shape[5] > 0.7)
        s.part(
            curve(
                (0.5 - waist - 0.004, waist_y - half),
                (0.5, waist_y - half + 0.012, 0.5 + waist + 0.004, waist_y - half),
                (0.5 + waist + 0.006, waist_y + half),
                (0.5, waist_y + half + 0.012, 0.5 - waist - 0.006, waist_y + half),
            ),
            s.trim,
            relief=0.012,
        )
        if s.parent.shape[5] > 0.8:
            s.part(ellipse(0.5, waist_y + 0.008, 0.02, 0.022), (0.85, 0.7, 0.35), material="metal", relief=0.01)
    else:
        s.line(curve((0.5 - waist, waist_y), (0.5, waist_y + 0.012, 0.5 + waist, waist_y)), 0.006)
    if s.parent.shape[7] > 0.6:
        s.part(
            band(curve((0.5 - flare, hem - 0.03), (0.5, hem + 0.018, 0.5 + flare, hem - 0.03)), 0.035),
            s.trim,
            relief=0.01,
            strength=0.4,
        )
