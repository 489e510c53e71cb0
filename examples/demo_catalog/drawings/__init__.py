"""The drawings: one function for each product type, from a parent to the sketch of its cut-out."""

from __future__ import annotations

from collections.abc import Callable

from examples.demo_catalog.drawings.bags import draw_backpack, draw_bag
from examples.demo_catalog.drawings.bottoms import draw_skirt, draw_trousers
from examples.demo_catalog.drawings.dresses import draw_dress
from examples.demo_catalog.drawings.footwear import draw_boot, draw_sneaker
from examples.demo_catalog.drawings.furniture import draw_chair, draw_sofa
from examples.demo_catalog.drawings.hats import draw_hat
from examples.demo_catalog.drawings.home import draw_cushion, draw_lamp, draw_mug, draw_vase
from examples.demo_catalog.drawings.tops import draw_shirt, draw_sweater, draw_t_shirt
from examples.demo_catalog.drawings.watches import draw_watch
from examples.demo_catalog.sketch import Sketch

DRAWINGS: dict[str, Callable[[Sketch], None]] = {
    "t-shirt": draw_t_shirt,
    "shirt": draw_shirt,
    "sweater": draw_sweater,
    "dress": draw_dress,
    "skirt": draw_skirt,
    "trousers": draw_trousers,
    "sneaker": draw_sneaker,
    "boot": draw_boot,
    "bag": draw_bag,
    "backpack": draw_backpack,
    "hat": draw_hat,
    "watch": draw_watch,
    "mug": draw_mug,
    "vase": draw_vase,
    "lamp": draw_lamp,
    "chair": draw_chair,
    "sofa": draw_sofa,
    "cushion": draw_cushion,
}
