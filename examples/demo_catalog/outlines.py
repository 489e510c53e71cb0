"""Outlines in unit coordinates (x to the right, y down): curves, ellipses, boxes, and their mirror images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Point = tuple[float, float]
Outline = list[Point]


def curve(*steps: Sequence[float]) -> Outline:
    """A path from its steps: (x, y) goes straight there, four numbers curve by one control point, six by two."""
    path: Outline = []
    for step in steps:
        if len(step) == 2:
            path.append((step[0], step[1]))
            continue
        start = path[-1]
        controls = [start, *[(step[k], step[k + 1]) for k in range(0, len(step), 2)]]
        path.extend(_bezier(controls))
    return path


def mirrored(right: Outline, centre: float = 0.5) -> Outline:
    """The closed shape whose right half, from top to bottom, is `right`."""
    return right + [(2 * centre - x, y) for x, y in reversed(right)]


def flipped(outline: Outline, centre: float = 0.5) -> Outline:
    """The outline seen in a mirror."""
    return [(2 * centre - x, y) for x, y in outline]


def ellipse(x: float, y: float, rx: float, ry: float, *, start: float = 0.0, end: float = 360.0) -> Outline:
    """An ellipse, or an arc of it between two angles in degrees (clockwise from three o'clock)."""
    angles = np.deg2rad(np.linspace(start, end, 40))
    return [(x + rx * float(c), y + ry * float(s)) for c, s in zip(np.cos(angles), np.sin(angles), strict=True)]


def box(x0: float, y0: float, x1: float, y1: float, *, radius: float = 0.0) -> Outline:
    """A rectangle with rounded corners."""
    r = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    if r <= 0:
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return curve(
        (x0 + r, y0),
        (x1 - r, y0),
        (x1, y0, x1, y0 + r),
        (x1, y1 - r),
        (x1, y1, x1 - r, y1),
        (x0 + r, y1),
        (x0, y1, x0, y1 - r),
        (x0, y0 + r),
        (x0, y0, x0 + r, y0),
    )


def band(path: Outline, width: float, end_width: float | None = None) -> Outline:
    """The outline of a stroke along `path`, as wide as `width` at its start and `end_width` at its end."""
    points = np.asarray(path, dtype=np.float64)
    tangent = np.gradient(points, axis=0)
    tangent /= np.maximum(np.hypot(tangent[:, 0], tangent[:, 1])[:, None], 1e-9)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    widths = np.linspace(width, width if end_width is None else end_width, len(points))[:, None] / 2
    left, right = points + normal * widths, points - normal * widths
    return [(float(x), float(y)) for x, y in np.concatenate([left, right[::-1]])]


def star(x: float, y: float, radius: float, *, points: int = 5, inner: float = 0.45) -> Outline:
    """A star that stands on two of its points."""
    angles = np.deg2rad(-90 + np.arange(2 * points) * 180 / points)
    radii = np.where(np.arange(2 * points) % 2 == 0, radius, radius * inner)
    return [(x + float(r * np.cos(a)), y + float(r * np.sin(a))) for a, r in zip(angles, radii, strict=True)]


def heart(x: float, y: float, r: float) -> Outline:
    """A heart about 2r wide."""
    right = curve(
        (0.0, -0.45 * r),
        (0.25 * r, -1.1 * r, 1.15 * r, -0.9 * r, 0.95 * r, -0.1 * r),
        (0.75 * r, 0.45 * r, 0.0, 0.95 * r),
    )
    return [(x + px, y + py) for px, py in right] + [(x - px, y + py) for px, py in reversed(right)]


def _bezier(controls: list[Point]) -> Outline:
    t = np.linspace(0.0, 1.0, 14)[1:, None]
    p = np.asarray(controls, dtype=np.float64)
    if len(p) == 3:
        points = (1 - t) ** 2 * p[0] + 2 * (1 - t) * t * p[1] + t**2 * p[2]
    else:
        points = (1 - t) ** 3 * p[0] + 3 * (1 - t) ** 2 * t * p[1] + 3 * (1 - t) * t**2 * p[2] + t**3 * p[3]
    return [(float(x), float(y)) for x, y in points]
