"""A catalog and a CLIP so small that a step takes milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from examples.bootstrap_encoder.text_tokenizer import train_tokenizer
from vitrine.images.preprocessing import Preprocessing


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


def write_tiny_clip(folder: Path) -> None:
    """Writes an encoder folder with random weights: pictures of 32 pixels, 16 dimensions."""
    folder.mkdir()
    tokens = train_tokenizer(["product number one two"], folder, vocabulary_size=520, context_length=16)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": tokens - 2, "eos_token_id": tokens - 1, "pad_token_id": tokens - 1}
    torch.manual_seed(0)
    CLIPModel(
        CLIPConfig(
            text_config={**tower, **ends, "vocab_size": tokens, "max_position_embeddings": 16, "projection_dim": 16},
            vision_config={**tower, "image_size": 32, "patch_size": 8, "projection_dim": 16},
            projection_dim=16,
        )
    ).save_pretrained(folder)
    preprocessing = Preprocessing(image_size=32, resize_shorter_side=32)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing.to_huggingface()))
