"""T-shirts, shirts and sweaters, laid flat."""

from __future__ import annotations

from examples.demo_catalog.drawings.torso import draw_cuff, draw_sleeves, draw_torso, neckline
from examples.demo_catalog.outlines import band, curve, ellipse, flipped
from examples.demo_catalog.palette import mix
from examples.demo_catalog.sketch import Sketch


def draw_t_shirt(s: Sketch) -> None:
    """Shape: sleeve length, width, length, neck, waist, pocket."""
    width, hem = s.shape(1, 0.20, 0.27), s.shape(2, 0.78, 0.93)
    neck = (0.085, 0.105, 0.12)[s.choice(3, 3)]
    depth = (0.05, 0.13, 0.09)[s.choice(3, 3)]
    draw_sleeves(
        s, shoulder=width + 0.02, length=s.shape(0, 0.14, 0.27), width=0.15, angle=s.shape(4, 34, 52), cuff=True
    )
    draw_torso(
        s,
        neck=neck,
        depth=depth,
        shoulder=width + 0.02,
        chest=width,
        waist=width - 0.02 * s.shape(4),
        hem=hem,
        flare=0.01,
        v_neck=s.choice(3, 3) == 1,
    )
    if s.parent.badge != "none":
        small = s.parent.shape[5] < 0.5
        s.badge(0.5 + (width * 0.45 if small else 0.0), 0.34 if small else 0.42, 0.035 if small else 0.085)
    elif s.parent.shape[5] > 0.6:
        s.part(
            curve((0.57, 0.31), (0.67, 0.31), (0.67, 0.40), (0.62, 0.43), (0.57, 0.40)),
            relief=0.008,
            strength=0.5,
            tone=0.95,
        )


def draw_shirt(s: Sketch) -> None:
    """Shape: sleeve length, width, length, collar, buttons, pockets."""
    width, hem = s.shape(1, 0.19, 0.25), s.shape(2, 0.80, 0.94)
    long_sleeves = s.parent.shape[0] > 0.4
    draw_sleeves(
        s,
        shoulder=width + 0.02,
        length=s.shape(0, 0.44, 0.60) if long_sleeves else 0.22,
        width=0.125,
        angle=s.shape(4, 62, 72) if long_sleeves else 45,
        cuff=True,
    )
    draw_torso(
        s,
        neck=0.075,
        depth=0.10,
        shoulder=width + 0.02,
        chest=width,
        waist=width - 0.015,
        hem=hem,
        flare=0.01,
        v_neck=True,
        hem_curve=0.05,
    )
    placket = s.trim if s.parent.trim in ("accent", "light") else None
    s.part(
        [(0.482, 0.24), (0.518, 0.24), (0.518, hem + 0.01), (0.482, hem + 0.01)], placket, relief=0.008, strength=0.35
    )
    button = (0.95, 0.94, 0.9) if sum(s.parent.rgb) < 1.9 else (0.35, 0.3, 0.28)
    count = 4 + s.choice(4, 4)
    for k in range(count):
        y = 0.29 + k * (hem - 0.34) / count
        s.part(ellipse(0.5, y, 0.010, 0.010), button, material="none", relief=0.004)
    spread = s.shape(3, 0.06, 0.12)
    collar = curve(
        (0.5, 0.235),
        (0.5 + 0.035, 0.13),
        (0.585, 0.115),
        (0.5 + spread + 0.03, 0.20),
        (0.5 + spread - 0.01, 0.255),
        (0.55, 0.25, 0.5, 0.235),
    )
    for side in (collar, flipped(collar)):
        s.part(side, placket, relief=0.012, strength=0.6)
    if s.parent.shape[5] > 0.45:
        for x in (0.61,) if s.parent.shape[5] < 0.75 else (0.61, 0.39):
            s.part(
                curve((x - 0.045, 0.33), (x + 0.045, 0.33), (x + 0.045, 0.41), (x, 0.435), (x - 0.045, 0.41)),
                relief=0.008,
                tone=0.96,
            )


def draw_sweater(s: Sketch) -> None:
    """Shape: sleeve spread, width, length, neck (crew, roll, v), ribs, badge."""
    width, hem = s.shape(1, 0.22, 0.28), s.shape(2, 0.76, 0.88)
    neck = s.choice(3, 3)
    rib = s.trim if s.parent.trim != "none" else mix(s.parent.rgb, (0.0, 0.0, 0.0), 0.1)
    draw_sleeves(
        s, shoulder=width + 0.01, length=s.shape(0, 0.46, 0.58), width=0.15, angle=s.shape(4, 60, 72), cuff=False
    )
    for side in (1, -1):
        draw_cuff(
            s,
            side,
            shoulder=width + 0.01,
            length=s.shape(0, 0.46, 0.58),
            angle=s.shape(4, 60, 72),
            width=0.105,
            color=rib,
        )
    draw_torso(
        s,
        neck=0.09,
        depth=0.16 if neck == 2 else 0.06,
        shoulder=width + 0.01,
        chest=width,
        waist=width,
        hem=hem,
        flare=0.0,
        v_neck=neck == 2,
    )
    s.part(
        curve(
            (0.5 - width, hem - 0.05),
            (0.5 + width, hem - 0.05),
            (0.5 + width - 0.01, hem + 0.015),
            (0.5, hem + 0.03, 0.5 - width + 0.01, hem + 0.015),
        ),
        rib,
        relief=0.015,
        strength=0.5,
    )
    for k in range(-8, 9):
        x = 0.5 + k * width / 8.6
        s.line([(x, hem - 0.045), (x, hem + 0.012)], 0.004, opacity=0.3)
    if neck == 1:
        s.part(
            curve((0.415, 0.15), (0.42, 0.05), (0.5, 0.03, 0.58, 0.05), (0.585, 0.15), (0.5, 0.2, 0.415, 0.15)),
            rib,
            relief=0.03,
            strength=0.7,
        )
    else:
        depth = 0.16 if neck == 2 else 0.06
        s.part(band(neckline(0.09, depth, neck == 2), 0.03), rib, relief=0.008, strength=0.4)
    if s.parent.shape[5] > 0.5:
        s.badge(0.5, 0.45, 0.08)
