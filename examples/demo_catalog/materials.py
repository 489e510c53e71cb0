"""Materials: how a surface shimmers, as a brightness around 1 over a canvas."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

Field = np.ndarray  # float32, (height, width)


def material_field(material: str, side: int, origin: tuple[int, int], shape: tuple[int, int]) -> Field:
    """A brightness factor around 1 for a window of a material's texture; windows wrap around."""
    tile = _material_tile(material, side)
    height, width = shape
    top, left = origin[0] % side, origin[1] % side
    # At most four slices; indexing by two arrays of positions took six times as long.
    window = np.empty(shape, np.float32)
    down, across = min(height, side - top), min(width, side - left)
    window[:down, :across] = tile[top : top + down, left : left + across]
    window[down:, :across] = tile[: height - down, left : left + across]
    window[:down, across:] = tile[top : top + down, : width - across]
    window[down:, across:] = tile[: height - down, : width - across]
    return window


def gloss_of(material: str) -> float:
    """How strongly a material mirrors the light, 0..1."""
    return {
        "leather": 0.45,
        "silk": 0.5,
        "ceramic": 0.8,
        "glass": 1.0,
        "enamel": 0.8,
        "metal": 0.8,
        "rubber": 0.4,
        "nylon": 0.25,
        "velvet": 0.2,
        "stoneware": 0.3,
        "wood": 0.15,
    }.get(material, 0.0)


@lru_cache(maxsize=24)
def smooth_noise(side: int, cells: int, key: int) -> Field:
    """Value noise in 0..1 that repeats without a seam: `cells` random values a side, interpolated."""
    coarse = np.random.default_rng([7, key, cells]).random((cells, cells)).astype(np.float32)
    margin = 2
    padded = Image.fromarray(np.pad(coarse, margin, mode="wrap"))
    window = (margin, margin, margin + cells, margin + cells)
    field = padded.resize((side, side), Image.Resampling.BICUBIC, box=window)
    return np.clip(np.asarray(field), 0.0, 1.0)


@lru_cache(maxsize=64)
def _material_tile(material: str, side: int) -> Field:
    base = 448  # drawn once at this size, so that a smaller canvas shows the same cloth from further away
    keys = sorted(_MATERIALS)
    field = (
        _MATERIALS[material](base, keys.index(material))
        if material in _MATERIALS
        else np.ones((base, base), np.float32)
    )
    if side != base:
        field = np.asarray(Image.fromarray(field.astype(np.float32)).resize((side, side), Image.Resampling.BOX))
    return np.ascontiguousarray(field, dtype=np.float32)


def _grid(side: int) -> tuple[Field, Field]:
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    return x, y


def _grain(side: int, key: int, amount: float) -> Field:
    return np.random.default_rng([13, key]).normal(0.0, amount, (side, side)).astype(np.float32)


def _cotton(side: int, key: int) -> Field:
    return 1.0 + _grain(side, key, 0.02) + 0.05 * (smooth_noise(side, 14, key) - 0.5)


def _denim(side: int, key: int) -> Field:
    x, y = _grid(side)
    twill = 0.07 * np.sin((x + y) * (2 * np.pi / 6.0))
    worn = 0.30 * (smooth_noise(side, 7, key) - 0.5)
    slub = np.repeat(np.random.default_rng([17, key]).normal(0, 0.035, (1, side)), side, axis=0)
    return 1.0 + twill + worn + slub + _grain(side, key, 0.04)


def _leather(side: int, key: int) -> Field:
    return 1.0 + 0.16 * (smooth_noise(side, 60, key) - 0.5) + 0.12 * (smooth_noise(side, 9, key + 40) - 0.5)


def _suede(side: int, key: int) -> Field:
    return 1.0 + 0.22 * (smooth_noise(side, 16, key) - 0.5) + _grain(side, key, 0.05)


def _knit(side: int, key: int) -> Field:
    x, y = _grid(side)
    stitch = np.abs(((x / 9.0) % 1.0) - 0.5) * 2.0
    rows = np.sin((y / 8.0 + 0.7 * stitch) * 2 * np.pi)
    return 1.0 + 0.09 * rows + 0.14 * (stitch - 0.5) + _grain(side, key, 0.03)


def _cashmere(side: int, key: int) -> Field:
    return 1.0 + 0.08 * (smooth_noise(side, 40, key) - 0.5) + _grain(side, key, 0.05)


def _linen(side: int, key: int) -> Field:
    rng = np.random.default_rng([19, key])
    across, down = rng.normal(0, 0.05, (1, side)), rng.normal(0, 0.05, (side, 1))
    return (1.0 + across + down + _grain(side, key, 0.03)).astype(np.float32)


def _weave(side: int, key: int, cell: float, depth: float) -> Field:
    x, y = _grid(side)
    return 1.0 + depth * np.sin(x * np.pi / cell) * np.sin(y * np.pi / cell) + _grain(side, key, 0.03)


def _corduroy(side: int, key: int) -> Field:
    x, _ = _grid(side)
    return 1.0 + 0.16 * np.sin(x * 2 * np.pi / 10.0) + _grain(side, key, 0.03)


def _silk(side: int, key: int) -> Field:
    noise = smooth_noise(side, 5, key)
    return 1.0 + 0.20 * np.sin(noise * 9.0) * 0.7 + 0.0 * noise


def _velvet(side: int, key: int) -> Field:
    return 1.0 + 0.30 * (smooth_noise(side, 6, key) - 0.5) + _grain(side, key, 0.025)


def _wood(side: int, key: int) -> Field:
    x, y = _grid(side)
    bend = smooth_noise(side, 4, key)
    return (
        1.0
        + 0.12 * np.sin(x * 0.16 + bend * 16.0 + y * 0.01)
        + 0.05 * np.sin(x * 0.61 + bend * 8.0)
        + _grain(side, key, 0.02)
    )


def _metal(side: int, key: int) -> Field:
    rng = np.random.default_rng([23, key])
    return np.repeat(1.0 + rng.normal(0, 0.03, (side, 1)), side, axis=1).astype(np.float32)


def _stoneware(side: int, key: int) -> Field:
    specks = (np.random.default_rng([29, key]).random((side // 4, side // 4)) > 0.975).astype(np.float32)
    dark = np.asarray(Image.fromarray(specks).resize((side, side), Image.Resampling.BILINEAR))
    return 1.0 - 0.4 * dark + 0.07 * (smooth_noise(side, 20, key) - 0.5)


_MATERIALS = {
    "cotton": _cotton,
    "jersey": _cotton,
    "denim": _denim,
    "leather": _leather,
    "suede": _suede,
    "wool": _knit,
    "cashmere": _cashmere,
    "linen": _linen,
    "canvas": lambda side, key: _weave(side, key, 4.0, 0.08),
    "mesh": lambda side, key: _weave(side, key, 6.0, 0.16),
    "nylon": lambda side, key: _weave(side, key, 5.0, 0.04),
    "straw": lambda side, key: _weave(side, key, 9.0, 0.20),
    "corduroy": _corduroy,
    "silk": _silk,
    "velvet": _velvet,
    "wood": _wood,
    "metal": _metal,
    "stoneware": _stoneware,
}
