"""Patterns: where the second colour of a product shows, as fields over its canvas."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from examples.demo_catalog.parents import Parent

Field = np.ndarray  # float32, (height, width)


def pattern_field(parent: Parent, u: Field, v: Field) -> Field:
    """The share of the accent colour at each point, 0..1; `u` and `v` are unit canvas coordinates."""
    if parent.pattern == "plain":
        return np.zeros_like(u)
    if parent.pattern in ("floral", "leopard"):
        return _sample_tile(_tile(parent), u, v)
    if parent.pattern_angle and parent.pattern not in ("color-block",):
        angle = np.float32(np.deg2rad(parent.pattern_angle))
        u, v = u * np.cos(angle) - v * np.sin(angle), u * np.sin(angle) + v * np.cos(angle)
    frequency = np.float32(17.0 - 11.0 * parent.pattern_scale)
    return _ANALYTIC[parent.pattern](u * frequency, v * frequency, parent).astype(np.float32)


def _step(x: Field, edge: float, softness: float = 0.06) -> Field:
    return np.clip((x - edge) / softness + 0.5, 0.0, 1.0)


def _wave(x: Field) -> Field:
    """A triangle wave with period 1: 0 at whole numbers, 1 half-way."""
    return 1.0 - np.abs(2.0 * (x - np.floor(x)) - 1.0)


def _striped(_: Field, v: Field, parent: Parent) -> Field:
    if parent.pattern_variant == 0:
        return _step(_wave(v), 0.58)
    if parent.pattern_variant == 1:  # a broad stripe with a thin companion
        return np.maximum(_step(_wave(v * 0.7), 0.72), _step(_wave(v * 0.7 + 0.5), 0.9))
    return _step(_wave(v * 0.55), 0.82)  # pin stripes


def _dotted(u: Field, v: Field, parent: Parent) -> Field:
    row = np.floor(v * 0.8)
    shift = 0.5 * (row % 2) if parent.pattern_variant else 0.0
    x = u * 0.8 + shift
    distance = np.hypot(x - np.floor(x) - 0.5, v * 0.8 - row - 0.5)
    radius = (0.30, 0.34, 0.2)[parent.pattern_variant]
    dots = 1.0 - _step(distance, radius, 0.07)
    return dots * _step(distance, 0.17, 0.07) if parent.pattern_variant == 1 and parent.shape[7] > 0.5 else dots


def _checked(u: Field, v: Field, parent: Parent) -> Field:
    across, down = _step(_wave(u * 0.6), 0.5), _step(_wave(v * 0.6), 0.5)
    if parent.pattern_variant == 0:  # gingham
        return 0.45 * (across + down)
    if parent.pattern_variant == 1:  # tartan
        thin = np.maximum(_step(_wave(u * 0.6 + 0.5), 0.9), _step(_wave(v * 0.6 + 0.5), 0.9))
        return np.clip(0.28 * (across + down) + 0.7 * thin, 0.0, 1.0)
    return np.maximum(_step(_wave(u * 0.5), 0.87), _step(_wave(v * 0.5), 0.87))  # windowpane


def _chevron(u: Field, v: Field, parent: Parent) -> Field:
    amplitude = (0.5, 0.9, 0.35)[parent.pattern_variant]
    return _step(_wave(v * 0.6 + amplitude * _wave(u * 0.5)), (0.55, 0.6, 0.68)[parent.pattern_variant])


def _geometric(u: Field, v: Field, parent: Parent) -> Field:
    x, y = u * 0.5, v * 0.35
    fx, fy = np.abs(x - np.floor(x) - 0.5), np.abs(y - np.floor(y) - 0.5)
    if parent.pattern_variant == 0:  # argyle diamonds
        return np.maximum(1.0 - _step(fx + fy, 0.3, 0.05), 0.6 * (1.0 - _step(np.abs(fx + fy - 0.5), 0.025, 0.03)))
    if parent.pattern_variant == 1:  # triangles
        y2 = v * 0.5 - np.floor(v * 0.5)
        return _step(y2 - 2.0 * np.abs(x - np.floor(x) - 0.5), 0.1, 0.06)
    return np.maximum(
        1.0 - _step(np.maximum(fx, fy * 1.4), 0.12, 0.04),
        1.0 - _step(np.abs(np.maximum(fx, fy * 1.4) - 0.33), 0.03, 0.04),
    )


def _color_block(u: Field, v: Field, parent: Parent) -> Field:
    scale = np.float32(17.0 - 11.0 * parent.pattern_scale)
    x, y = u / scale, v / scale
    if parent.pattern_variant == 0:
        return _step(y, 0.55 + 0.15 * parent.shape[7], 0.006)
    if parent.pattern_variant == 1:
        return _step(x * 0.6 + y, 0.85 + 0.2 * parent.shape[7], 0.006)
    return (1.0 - _step(np.abs(y - 0.42 - 0.15 * parent.shape[7]), 0.08, 0.006)).astype(np.float32)


_ANALYTIC = {
    "striped": _striped,
    "dotted": _dotted,
    "checked": _checked,
    "chevron": _chevron,
    "geometric": _geometric,
    "color-block": _color_block,
}


_TILE = 288  # pixels of a drawn tile, for one unit of the canvas


def _sample_tile(tile: Field, u: Field, v: Field) -> Field:
    x = (u * _TILE).astype(np.int32) % _TILE
    y = (v * _TILE).astype(np.int32) % _TILE
    return tile[y, x]


@lru_cache(maxsize=8)
def _tile(parent: Parent) -> Field:
    rng = np.random.default_rng([11, parent.seed])
    return _flowers(parent, rng) if parent.pattern == "floral" else _leopard(parent, rng)


def _flowers(parent: Parent, rng: np.random.Generator) -> Field:
    image = Image.new("L", (_TILE, _TILE), 0)
    draw = ImageDraw.Draw(image)
    cells = round(7 - 3.4 * parent.pattern_scale)
    step = _TILE / cells
    petals = (5, 6, 4)[parent.pattern_variant]
    for row in range(cells):
        for column in range(cells):
            x = (column + 0.5 * (row % 2) + 0.5 + rng.uniform(-0.14, 0.14)) * step
            y = (row + 0.5 + rng.uniform(-0.14, 0.14)) * step
            radius = step * rng.uniform(0.22, 0.34)
            turn = rng.uniform(0, 2 * np.pi)
            for wrap_x in (-_TILE, 0):
                _flower(draw, (x + wrap_x, y), radius, turn, petals)
                if rng.random() < 0.7:
                    _leaf(draw, (x + wrap_x + step * 0.42, y + step * 0.3), radius * 0.8, turn)
    return np.asarray(image.filter(ImageFilter.BoxBlur(0.6)), dtype=np.float32) / 255.0


def _flower(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, turn: float, petals: int) -> None:
    x, y = centre
    for petal in range(petals):
        angle = turn + 2 * np.pi * petal / petals
        px, py, r = x + 0.62 * radius * np.cos(angle), y + 0.62 * radius * np.sin(angle), 0.43 * radius
        draw.ellipse((px - r, py - r, px + r, py + r), fill=255)
    r = 0.27 * radius
    draw.ellipse((x - r, y - r, x + r, y + r), fill=60)


def _leaf(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, turn: float) -> None:
    x, y = centre
    c, s = np.cos(turn) * radius, np.sin(turn) * radius
    draw.polygon([(x - c, y - s), (x - s * 0.4, y + c * 0.4), (x + c, y + s), (x + s * 0.4, y - c * 0.4)], fill=150)


def _leopard(parent: Parent, rng: np.random.Generator) -> Field:
    image = Image.new("L", (_TILE, _TILE), 0)
    draw = ImageDraw.Draw(image)
    cells = round(11 - 5 * parent.pattern_scale)
    step = _TILE / cells
    for row in range(cells):
        for column in range(cells):
            x = (column + 0.5 * (row % 2) + rng.uniform(0.2, 0.8)) * step
            y = (row + rng.uniform(0.2, 0.8)) * step
            rx, ry = step * rng.uniform(0.24, 0.42, 2)
            start = int(rng.integers(360))
            draw.arc(
                (x - rx, y - ry, x + rx, y + ry),
                start,
                start + int(rng.integers(190, 330)),
                fill=255,
                width=max(3, int(step * 0.15)),
            )
    return np.asarray(image.filter(ImageFilter.GaussianBlur(1.0)), dtype=np.float32) / 255.0
