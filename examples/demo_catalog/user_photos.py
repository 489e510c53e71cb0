"""User photos: a product at home, among other things, in bad light."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from examples.demo_catalog.camera import ViewParams, cutout, cutout_side, drop_shadow, place, to_image
from examples.demo_catalog.materials import smooth_noise
from examples.demo_catalog.palette import Rgb
from examples.demo_catalog.parents import Parent, sample_parents

_SHARP_SIZE = 240  # the picture size at which ViewParams.blur is in pixels


def user_photo(parent: Parent, params: ViewParams, size: int, rng: np.random.Generator) -> Image.Image:
    canvas = _room(params.background, size)
    side = cutout_side(size)
    for _ in range(int(rng.integers(1, 4))):
        _clutter(canvas, side, size, rng)
    placed = place(cutout(parent, side), params, size)
    drop_shadow(canvas, placed, standing=False, strength=0.45)
    placed.over(canvas)
    if rng.random() < 0.25:
        _clutter(canvas, side, size, rng, scale=0.3)
    cast = np.array([1 + params.warmth, 1 + 0.3 * params.warmth, 1 - params.warmth], np.float32)
    ramp = np.linspace(1.0 + rng.uniform(-0.22, 0.22), 1.0, size, dtype=np.float32)
    canvas *= (ramp[:, None] * (cast * np.float32(params.brightness)))[None]
    if params.noise:
        canvas += rng.normal(0.0, params.noise, (size, size, 1)).astype(np.float32)
    image = to_image(canvas)
    return image.filter(ImageFilter.GaussianBlur(params.blur * size / _SHARP_SIZE)) if params.blur else image


def _clutter(canvas: np.ndarray, side: int, size: int, rng: np.random.Generator, *, scale: float = 0.55) -> None:
    """One other thing, partly out of the picture."""
    prop = _props()[int(rng.integers(12))]
    angle = rng.uniform(0, 2 * np.pi)
    params = ViewParams(
        yaw=1.0,
        shear=0.0,
        rotation=float(rng.uniform(-60, 60)),
        scale=float(scale * rng.uniform(0.6, 1.1)),
        offset_x=float(0.50 * np.cos(angle)),
        offset_y=float(0.50 * np.sin(angle)),
        brightness=1.0,
        warmth=0.0,
        mirrored=False,
        background=0,
    )
    placed = place(_prop_cutout(prop, side // 2), params, size)
    drop_shadow(canvas, placed, standing=False, strength=0.35)
    placed.over(canvas, 0.92)


@lru_cache(maxsize=1)
def _props() -> tuple[Parent, ...]:
    """What lies around in user photos: a dozen things that are nobody's product."""
    return tuple(sample_parents(990_001, 12))


@lru_cache(maxsize=16)
def _prop_cutout(parent: Parent, side: int) -> Image.Image:
    return cutout.__wrapped__(parent, side // 4 * 4)


def _room(number: int, size: int) -> np.ndarray:
    """A table, a carpet, a bed sheet or tiles, seen from above."""
    rng = np.random.default_rng([41, number])
    base = np.asarray(_SURFACES[int(rng.integers(len(_SURFACES)))], np.float32) * np.float32(rng.uniform(0.8, 1.1))
    kind = int(rng.integers(4))
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(size)
    noise = smooth_noise(size, 6, number % 16)
    if kind == 0:  # boards
        board = np.floor(y * 5 + 0.2)
        tone = (
            0.92
            + 0.12 * ((board * 0.618) % 1.0)
            + 0.05 * np.sin(y * 90 + noise * 7 + x * 5 + board * 9)
            - 0.35 * ((y * 5 + 0.2) % 1.0 < 0.03)
        )
    elif kind == 1:  # carpet
        tone = 0.95 + 0.2 * (noise - 0.5) + rng.normal(0, 0.07, (size, size))
    elif kind == 2:  # a creased sheet
        tone = 0.95 + 0.28 * (noise - 0.5) + 0.04 * np.sin(noise * 11)
    else:  # tiles
        tone = 1.0 + 0.06 * (noise - 0.5) - 0.2 * (((x * 4) % 1.0 < 0.025) | ((y * 4) % 1.0 < 0.025))
    return np.clip(base * tone.astype(np.float32)[..., None], 0.0, 1.0)


_SURFACES: tuple[Rgb, ...] = (
    (0.68, 0.50, 0.33),
    (0.45, 0.31, 0.21),
    (0.82, 0.79, 0.74),
    (0.55, 0.58, 0.62),
    (0.72, 0.66, 0.58),
    (0.40, 0.45, 0.42),
    (0.86, 0.85, 0.88),
    (0.62, 0.42, 0.38),
)
