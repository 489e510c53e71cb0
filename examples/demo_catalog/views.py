"""Views: one product photographed in a studio, or by somebody at home."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from PIL import Image

from examples.demo_catalog.camera import ViewParams, cutout, cutout_side, drop_shadow, place, to_image
from examples.demo_catalog.palette import Rgb
from examples.demo_catalog.parents import Parent
from examples.demo_catalog.product_types import PRODUCT_TYPES
from examples.demo_catalog.user_photos import user_photo

KINDS: tuple[str, ...] = ("studio", "user_photo", "scene")


DEFAULT_SIZE = 240


_STUDIOS: tuple[Rgb, ...] = (
    (0.975, 0.975, 0.975),
    (0.955, 0.95, 0.94),
    (0.93, 0.935, 0.945),
    (0.96, 0.945, 0.925),
    (0.925, 0.945, 0.955),
    (0.955, 0.935, 0.94),
    (0.90, 0.90, 0.90),
    (0.93, 0.95, 0.93),
)


def render_view(parent: Parent, view_index: int, kind: str = "studio", *, size: int = DEFAULT_SIZE) -> Image.Image:
    """View `view_index` (0, 1, 2 …) of a product, as an RGB image of size x size pixels.

    The result depends on the arguments only. View 0 in the studio is nearly frontal, later views are turned further.
    Raises ValueError for a kind other than `studio` and `user_photo` (several products at once: `render_scene`).
    """
    params = view_params(parent, view_index, kind)
    rng = np.random.default_rng([31, parent.seed, view_index, KINDS.index(kind)])
    if kind == "studio":
        return _studio(parent, params, size)
    return user_photo(parent, params, size, rng)


def view_params(parent: Parent, view_index: int, kind: str = "studio") -> ViewParams:
    """The parameters of one view, as `render_view` uses them."""
    if kind not in ("studio", "user_photo"):
        raise ValueError(f"view kind: expected 'studio' or 'user_photo', found {kind!r}; scenes come from render_scene")
    rng = np.random.default_rng([37, parent.seed, view_index, KINDS.index(kind)])
    product = PRODUCT_TYPES[parent.product_type]
    far = 0.35 if view_index == 0 else 1.0
    upright = 0.35 if product.standing else 1.0
    params = ViewParams(
        yaw=float(1.0 - far * rng.uniform(0.0, 0.16)),
        shear=float(far * rng.uniform(-0.09, 0.09)),
        rotation=float(far * upright * rng.uniform(-9.0, 9.0)),
        scale=float(rng.uniform(0.74, 0.90)),
        offset_x=float(far * rng.uniform(-0.025, 0.025)),
        offset_y=float(far * rng.uniform(-0.02, 0.02)),
        brightness=float(1.0 + far * rng.uniform(-0.09, 0.08)),
        warmth=float(far * rng.uniform(-0.035, 0.035)),
        mirrored=bool(product.mirrored_views and view_index > 0 and rng.random() < 0.35),
        background=int(rng.integers(len(_STUDIOS))),
    )
    if kind == "studio":
        return params
    return replace(
        params,
        yaw=float(rng.uniform(0.78, 1.0)),
        rotation=float(upright * rng.uniform(-20.0, 20.0)),
        scale=float(rng.uniform(0.55, 0.80)),
        offset_x=float(rng.uniform(-0.08, 0.08)),
        offset_y=float(rng.uniform(-0.06, 0.06)),
        brightness=float(rng.uniform(0.72, 1.12)),
        warmth=float(rng.uniform(-0.12, 0.12)),
        background=int(rng.integers(1000)),
        keystone=float(rng.uniform(-0.28, 0.28)),
        blur=float(rng.choice([0.0, 0.4, 0.8, 1.2])),
        noise=float(rng.uniform(0.0, 0.05)),
    )


def _studio(parent: Parent, params: ViewParams, size: int) -> Image.Image:
    standing = PRODUCT_TYPES[parent.product_type].standing
    canvas = _backdrop(params.background, size, standing).copy()
    placed = place(cutout(parent, cutout_side(size)), params, size)
    drop_shadow(canvas, placed, standing=standing)
    placed.over(
        canvas, np.array([1 + params.warmth, 1.0, 1 - params.warmth], np.float32) * np.float32(params.brightness)
    )
    return to_image(canvas)


@lru_cache(maxsize=32)
def _backdrop(number: int, size: int, standing: bool) -> np.ndarray:
    color = np.asarray(_STUDIOS[number], np.float32)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(size)
    glow = 1.0 - 0.16 * ((x - 0.45) ** 2 + (y - 0.4) ** 2)
    if standing:  # a cove: the wall runs softly into the floor
        floor = np.clip((y - 0.66) / 0.16, 0.0, 1.0)
        glow = glow * (1.0 - 0.045 * floor * floor * (3 - 2 * floor))
    return (color * glow[..., None]).astype(np.float32)
