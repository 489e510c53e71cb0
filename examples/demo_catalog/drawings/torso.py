"""What tops and dresses share: a torso with its neckline, sleeves and cuffs, laid flat."""

from __future__ import annotations

import math

from examples.demo_catalog.outlines import Outline, band, curve, flipped, mirrored
from examples.demo_catalog.sketch import Sketch


def draw_torso(
    s: Sketch,
    *,
    neck: float,
    depth: float,
    shoulder: float,
    chest: float,
    waist: float,
    hem: float,
    flare: float,
    v_neck: bool,
    hem_curve: float = 0.015,
) -> None:
    """The body: half widths at shoulder, chest and waist, and where its hem lies."""
    top = 0.11
    s.part(back_of_neck(neck, top, depth), tone=0.6, relief=0.0)
    body = _half_neck(neck, depth, v_neck, top) + curve(
        (0.5 + neck, top),
        (0.5 + shoulder, top + 0.06),
        (0.5 + shoulder, 0.22, 0.5 + chest, 0.33),
        (0.5 + waist - 0.01, 0.5, 0.5 + chest + flare, hem - 0.015),
        (0.5 + chest * 0.5, hem + hem_curve, 0.5, hem + hem_curve * 0.9),
    )
    s.part(mirrored(body), relief=0.055, strength=0.6)
    for side in (1, -1):
        s.fold(
            curve(
                (0.5 + side * (chest - 0.01), 0.36), (0.5 + side * chest * 0.6, 0.46, 0.5 + side * chest * 0.45, 0.62)
            ),
            0.03,
            -0.16,
        )
        s.fold(
            curve(
                (0.5 + side * (chest - 0.03), hem - 0.22),
                (0.5 + side * chest * 0.75, hem - 0.1, 0.5 + side * chest * 0.8, hem - 0.02),
            ),
            0.028,
            -0.14,
        )
        s.line(
            curve(
                (0.5 + side * shoulder, top + 0.065), (0.5 + side * (shoulder - 0.012), 0.23, 0.5 + side * chest, 0.33)
            ),
            0.005,
            opacity=0.4,
        )
    s.line(
        curve((0.5 - chest, hem - 0.035), (0.5, hem - 0.02, 0.5 + chest, hem - 0.035)), 0.004, opacity=0.3, dashes=0.008
    )
    if not hem_curve > 0.03:
        s.part(band(neckline(neck, depth, v_neck), 0.022), s.trim, relief=0.006, strength=0.4)


def neckline(neck: float, depth: float, v_neck: bool) -> Outline:
    """The edge of the opening, from one shoulder to the other."""
    right = [*_half_neck(neck, depth, v_neck, 0.11), (0.5 + neck, 0.11)]
    return [(1 - x, y) for x, y in reversed(right)] + right[1:]


def _half_neck(neck: float, depth: float, v_neck: bool, top: float) -> Outline:
    """From the lowest point of the neckline up to the shoulder's inner end."""
    if v_neck:
        return curve((0.5, top + depth), (0.5 + neck * 0.6, top + depth * 0.45, 0.5 + neck, top))
    return curve((0.5, top + depth), (0.5 + neck * 0.95, top + depth, 0.5 + neck, top))


def back_of_neck(neck: float, top: float, depth: float) -> Outline:
    """The inside of the back, which shows in the opening; the front is painted over its lower edge."""
    low = top + depth + 0.02
    return curve(
        (0.5 - neck, top),
        (0.5, top + 0.02, 0.5 + neck, top),
        (0.5 + neck, low, 0.5, low),
        (0.5 - neck, low, 0.5 - neck, top),
    )


def draw_sleeves(
    s: Sketch, *, shoulder: float, length: float, width: float, angle: float, cuff: bool, top: float = 0.17
) -> None:
    """Both sleeves, hanging `angle` degrees below the horizontal."""
    for side in (1, -1):
        outline = _sleeve(shoulder, length, width, angle, top)
        s.part(outline if side == 1 else flipped(outline), relief=0.04, strength=0.6, turn=side * (angle - 90) * 0.8)
        dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        x, y = shoulder + dx * length * 0.55, top + 0.05 + dy * length * 0.55
        s.fold([(0.5 + side * (x - 0.05), y - 0.02), (0.5 + side * (x + 0.015), y + 0.05)], 0.022, -0.18)
        if cuff:
            draw_cuff(s, side, shoulder=shoulder, length=length, angle=angle, width=width * 0.86, color=s.trim, top=top)


def _sleeve(shoulder: float, length: float, width: float, angle: float, top: float) -> Outline:
    dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x0, y0 = 0.5 + shoulder - 0.01, top - 0.005
    tip_x, tip_y = x0 + dx * length, y0 + dy * length
    w = width * 0.82
    return curve(
        (x0 - 0.02, y0),
        (x0, y0),
        (x0 + 0.4 * dx * length + 0.03 * dy, y0 + 0.4 * dy * length - 0.03 * dx, tip_x, tip_y),
        (tip_x - dy * w, tip_y + dx * w),
        (0.5 + shoulder - 0.02, top + width * 1.1),
        (x0 - 0.07, top + width * 0.9),
        (x0 - 0.05, y0 + 0.03),
    )


def draw_cuff(
    s: Sketch,
    side: int,
    *,
    shoulder: float,
    length: float,
    angle: float,
    width: float,
    color: tuple[float, float, float],
    top: float = 0.17,
) -> None:
    """The end of one sleeve; `side` is 1 or -1."""
    dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x0, y0 = 0.5 + shoulder - 0.01, top - 0.005
    x, y = x0 + dx * length, y0 + dy * length
    deep = 0.022 if length < 0.3 else 0.04
    outline = [
        (x, y),
        (x - dy * width, y + dx * width),
        (x - dy * width - dx * deep, y + dx * width - dy * deep),
        (x - dx * deep, y - dy * deep),
    ]
    s.part(outline if side == 1 else flipped(outline), color, relief=0.012, strength=0.5)
