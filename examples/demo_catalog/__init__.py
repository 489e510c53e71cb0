"""A fashion and home catalog that is drawn, not downloaded: seeded, deterministic, with its ground truth.

In memory, for training (the signatures are stable):

    from examples.demo_catalog import render_view, sample_parents, title_and_description

    parents = sample_parents(seed, n)                  # list[Parent]; parent k depends on (seed, k) only
    image = render_view(parent, view_index, kind)      # PIL RGB 240x240; kind "studio" (default) or "user_photo"
    image = render_view(parent, 3, "studio", size=96)  # smaller and several times faster
    title, description = title_and_description(parent, np.random.default_rng(0))   # both name parent.product_type
                                                                                  # and parent.color

On disk, for the demo and the tests (also `python -m examples.demo_catalog --help`):

    summary = generate_catalog("out", items=2000, seed=7, days=3)   # dt=.../items.*, dt=.../images/, ground_truth/

A cut-out is cached for each parent, so ask for all views of a parent in a row. `Parent` carries the attributes
(product_type, category, color, pattern, material, brand …).
"""

from __future__ import annotations

from examples.demo_catalog.generation import generate_catalog
from examples.demo_catalog.palette import COLORS
from examples.demo_catalog.parents import Parent, sample_parents
from examples.demo_catalog.product_types import PATTERNS, PRODUCT_TYPES
from examples.demo_catalog.scenes import SceneBox, render_scene
from examples.demo_catalog.titles import title_and_description
from examples.demo_catalog.views import KINDS, render_view

__all__ = [
    "COLORS",
    "KINDS",
    "PATTERNS",
    "PRODUCT_TYPES",
    "Parent",
    "SceneBox",
    "generate_catalog",
    "render_scene",
    "render_view",
    "sample_parents",
    "title_and_description",
]
