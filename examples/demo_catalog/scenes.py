"""Scenes: several products in one picture, a furnished room or an outfit laid out, with a box around each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from examples.demo_catalog.camera import ViewParams, cutout, cutout_side, drop_shadow, place, to_image
from examples.demo_catalog.palette import Rgb
from examples.demo_catalog.parents import Parent
from examples.demo_catalog.product_types import PRODUCT_TYPES


@dataclass(frozen=True)
class SceneBox:
    """One product in a scene; the box is x0, y0, x1, y1 in pixels."""

    parent_id: str
    label: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class _Slot:
    types: tuple[str, ...]
    x: float
    base: float  # where it stands, or its middle in a flat lay
    scale: float
    rotation: float = 0.0


_ROOM = (
    _Slot(("lamp",), 0.14, 0.74, 0.44),
    _Slot(("sofa",), 0.50, 0.80, 0.56),
    _Slot(("chair",), 0.84, 0.88, 0.34),
    _Slot(("vase", "mug"), 0.27, 0.93, 0.19),
    _Slot(("cushion",), 0.62, 0.96, 0.20),
)
_OUTFIT = (
    _Slot(("t-shirt", "shirt", "sweater", "dress"), 0.30, 0.31, 0.50, -4),
    _Slot(("trousers", "skirt"), 0.70, 0.38, 0.52, 5),
    _Slot(("sneaker", "boot"), 0.26, 0.78, 0.32, 6),
    _Slot(("bag", "backpack"), 0.62, 0.80, 0.32, -5),
    _Slot(("watch", "hat"), 0.88, 0.80, 0.22, 8),
)
_WALLS: tuple[Rgb, ...] = (
    (0.86, 0.84, 0.80),
    (0.76, 0.82, 0.80),
    (0.88, 0.80, 0.76),
    (0.80, 0.83, 0.88),
    (0.90, 0.88, 0.82),
)
_FLOORS: tuple[Rgb, ...] = ((0.66, 0.50, 0.35), (0.50, 0.38, 0.28), (0.74, 0.68, 0.60), (0.60, 0.60, 0.60))
SCENE_THEMES: tuple[str, ...] = ("room", "outfit")


def choose_for_scene(parents: Sequence[Parent], theme: str, rng: np.random.Generator) -> tuple[Parent, ...]:
    """Products out of `parents` that make up a scene of the theme; at most one for each place in it."""
    chosen: list[Parent] = []
    for slot in _ROOM if theme == "room" else _OUTFIT:
        fitting = [parent for parent in parents if parent.product_type in slot.types]
        if fitting:
            chosen.append(fitting[int(rng.integers(len(fitting)))])
    return tuple(chosen)


def render_scene(
    parents: Sequence[Parent], seed: int, *, theme: str = "room", size: int = 240
) -> tuple[Image.Image, tuple[SceneBox, ...]]:
    """A picture of all products of `parents` that have a place in the theme, and their boxes, back to front."""
    rng = np.random.default_rng([43, seed])
    canvas = _walls(rng, size) if theme == "room" else _linen(rng, size)
    remaining = list(parents)
    boxes: list[SceneBox] = []
    for slot in _ROOM if theme == "room" else _OUTFIT:
        parent = next((candidate for candidate in remaining if candidate.product_type in slot.types), None)
        if parent is None:
            continue
        remaining.remove(parent)
        boxes.append(_put(canvas, parent, slot, theme, rng, size))
    light = np.float32(rng.uniform(0.92, 1.05)) * np.linspace(1.05, 0.95, size, dtype=np.float32)
    return to_image(canvas * light[None, :, None]), tuple(boxes)


def _put(canvas: np.ndarray, parent: Parent, slot: _Slot, theme: str, rng: np.random.Generator, size: int) -> SceneBox:
    image = cutout(parent, cutout_side(max(int(size * slot.scale), 64)))
    scale = slot.scale * float(rng.uniform(0.92, 1.06))
    middle = slot.base - 0.5
    if theme == "room":  # it stands on its lowest pixel
        y1 = (image.getbbox() or (0, 0, image.width, image.height))[3]
        middle = slot.base - scale * (y1 / image.height - 0.5) - 0.5
    params = ViewParams(
        yaw=float(rng.uniform(0.9, 1.0)),
        shear=float(rng.uniform(-0.03, 0.03)),
        rotation=slot.rotation * float(rng.uniform(0.4, 1.6)),
        scale=scale,
        offset_x=slot.x - 0.5 + float(rng.uniform(-0.02, 0.02)),
        offset_y=middle,
        brightness=1.0,
        warmth=0.0,
        mirrored=bool(PRODUCT_TYPES[parent.product_type].mirrored_views and rng.random() < 0.4),
        background=0,
    )
    placed = place(image, params, size)
    drop_shadow(canvas, placed, standing=theme == "room")
    placed.over(canvas)
    solid = placed.rgba[..., 3] > 0.5
    rows, columns = np.flatnonzero(solid.any(axis=1)) + placed.top, np.flatnonzero(solid.any(axis=0)) + placed.left
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return SceneBox(parent_id=parent.parent_id, label=parent.product_type, box=box)


def _walls(rng: np.random.Generator, size: int) -> np.ndarray:
    wall = np.asarray(_WALLS[int(rng.integers(len(_WALLS)))], np.float32)
    floor = np.asarray(_FLOORS[int(rng.integers(len(_FLOORS)))], np.float32)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(size)
    below = (y > 0.66)[..., None]
    boards = 1.0 - 0.14 * (((x - 0.5) / (y + 0.02) * 7) % 1.0 < 0.05) - 0.1 * (0.95 - y)
    canvas = np.where(below, floor * boards[..., None], wall * (1.02 - 0.14 * (x - 0.3) ** 2)[..., None])
    canvas[int(0.645 * size) : int(0.665 * size)] = wall * np.float32(1.06)
    left = float(rng.uniform(0.36, 0.5))  # a picture on the wall
    frame = (slice(int(0.10 * size), int(0.34 * size)), slice(int(left * size), int((left + 0.2) * size)))
    canvas[frame] = np.asarray((0.25, 0.2, 0.17), np.float32)
    inset = max(2, size // 60)
    inner = canvas[frame][inset:-inset, inset:-inset]
    inner[:] = 0.93
    inner[inner.shape[0] // 2 :] = np.asarray(_FLOORS[int(rng.integers(len(_FLOORS)))], np.float32) * rng.uniform(
        0.8, 1.3
    )
    rug = ((x - 0.5) / 0.46) ** 2 + ((y - 0.86) / 0.10) ** 2 < 1.0
    canvas[rug] = canvas[rug] * 0.35 + np.asarray(_WALLS[int(rng.integers(len(_WALLS)))], np.float32) * 0.62
    return np.ascontiguousarray(np.clip(canvas, 0.0, 1.0), dtype=np.float32)


def _linen(rng: np.random.Generator, size: int) -> np.ndarray:
    base = np.asarray(_WALLS[int(rng.integers(len(_WALLS)))], np.float32)
    grain = 1.0 + rng.normal(0, 0.012, (size, 1)) + rng.normal(0, 0.012, (1, size))
    return np.clip(base * grain[..., None].astype(np.float32), 0.0, 1.0)
