"""Parents: the products themselves, of which every picture in the catalog is a view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from examples.demo_catalog.palette import COLORS, Rgb, accent_for, shade_of
from examples.demo_catalog.product_types import BRANDS, PRODUCT_TYPES

# Every drawing reads its silhouette from these numbers in 0..1 and gives each its own meaning (sleeve, flare, heel …).
SHAPE_PARAMS = 8
BADGES: tuple[str, ...] = ("none", "disc", "star", "triangle", "square", "heart", "bars", "ring", "diamond", "moon")
TRIMS: tuple[str, ...] = ("none", "accent", "dark", "light")


@dataclass(frozen=True)
class Parent:
    """One product, with everything that its drawing depends on.

    `shape` holds SHAPE_PARAMS numbers in 0..1; `pattern_scale` is 0..1 (fine to bold), `pattern_angle` in degrees;
    `seed` feeds what is random about the drawing and the views.
    """

    parent_id: str
    product_type: str
    category: str
    color: str
    rgb: Rgb
    accent_color: str
    accent_rgb: Rgb
    pattern: str
    pattern_scale: float
    pattern_angle: float
    pattern_variant: int
    material: str
    trim: str
    badge: str
    brand: str
    price: float
    shape: tuple[float, ...]
    seed: int


def sample_parents(
    seed: int,
    n: int,
    *,
    first: int = 0,
    type_weights: dict[str, float] | None = None,
    color_weights: dict[str, float] | None = None,
) -> list[Parent]:
    """`n` parents, numbers `first` to `first + n - 1` of the endless sequence that `seed` names.

    Parent k depends on (seed, k) and the weights only, so any slice can be drawn anywhere. Weights are relative
    (1.0 where a name is missing).
    """
    types, type_share = _shares(tuple(PRODUCT_TYPES), type_weights)
    colors, color_share = _shares(COLORS, color_weights)
    return [_sample(seed, first + k, types, type_share, colors, color_share) for k in range(n)]


def _sample(
    seed: int,
    number: int,
    types: tuple[str, ...],
    type_share: np.ndarray,
    colors: tuple[str, ...],
    color_share: np.ndarray,
) -> Parent:
    rng = np.random.default_rng([101, seed, number])
    kind = PRODUCT_TYPES[types[_pick(rng, type_share)]]
    color = colors[_pick(rng, color_share)]
    accent = accent_for(color, rng)
    patterns = [name for name in kind.patterns if name != "plain"]
    pattern = "plain" if rng.random() < kind.plain_share else patterns[int(rng.integers(len(patterns)))]
    low, high = kind.price
    return Parent(
        parent_id=f"p{seed:03d}-{number:06d}",
        product_type=kind.name,
        category=kind.category,
        color=color,
        rgb=shade_of(color, rng),
        accent_color=accent,
        accent_rgb=shade_of(accent, rng),
        pattern=pattern,
        pattern_scale=float(rng.random()),
        pattern_angle=float(rng.choice([0.0, 0.0, 90.0, 45.0, -45.0])),
        pattern_variant=int(rng.integers(3)),
        material=kind.materials[int(rng.integers(len(kind.materials)))],
        trim=TRIMS[int(rng.integers(len(TRIMS)))],
        badge=BADGES[int(rng.integers(len(BADGES)))],
        brand=BRANDS[int(rng.integers(len(BRANDS)))],
        price=round(round(float(np.exp(rng.uniform(np.log(low), np.log(high)))) - 0.05, 1) - 0.01, 2),
        shape=tuple(float(x) for x in rng.random(SHAPE_PARAMS)),
        seed=int(rng.integers(2**31)),
    )


def _shares(names: tuple[str, ...], weights: dict[str, float] | None) -> tuple[tuple[str, ...], np.ndarray]:
    unknown = set(weights or ()) - set(names)
    if unknown:
        raise ValueError(f"weights: unknown names {sorted(unknown)}; expected some of {list(names)}")
    share = np.array([(weights or {}).get(name, 1.0) for name in names])
    return names, np.cumsum(share / share.sum())


def _pick(rng: np.random.Generator, cumulative: np.ndarray) -> int:
    return min(int(np.searchsorted(cumulative, rng.random(), side="right")), len(cumulative) - 1)
