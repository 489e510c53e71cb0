"""A catalog and a CLIP so small that a step takes milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.tiny_clip import write_tiny_clip


def write_tiny_catalog(folder: Path) -> None:
    """Writes twelve products of one colour each: two studio pictures and one by a user."""
    generator = np.random.default_rng(0)
    rows = []
    for product in range(12):
        color = generator.integers(0, 255, 3)
        for view, kind in enumerate(("studio", "studio", "user")):
            pixels = np.clip(color + generator.integers(-30, 30, (40, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{product}-{view}.png")
            rows.append(
                {
                    "item_id": f"i{product:02d}-{view}",
                    "image_uri": f"{product}-{view}.png",
                    "parent_id": f"p{product:02d}",
                    "category": f"c{product % 2}",
                    "title": f"product number {product}",
                    "created_at": f"2026-01-{product + 1:02d}T00:00:00Z",
                    "kind": kind,
                }
            )
    (folder / "items.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")


def write_base_model(folder: Path) -> None:
    """Writes an encoder folder with random weights: pictures of 32 pixels, 16 dimensions."""
    write_tiny_clip(folder, texts=["product number one two"], vocabulary_size=520, patch_size=8, layers=2)
