"""A CLIP with random weights, so small that an encoding takes milliseconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from vitrine.images.preprocessing import Preprocessing

TEXTS = ("a red dress with blue stripes", "two wooden chairs", "the lamp is red and dressy") * 5


def write_tiny_clip(
    folder: Path,
    *,
    seed: int = 0,
    texts: Sequence[str] = TEXTS,
    vocabulary_size: int = 600,
    context_length: int = 16,
    image_size: int = 32,
    patch_size: int = 16,
    width: int = 32,
    layers: int = 1,
    dimension: int = 16,
) -> Path:
    """Writes an encoder folder in the layout of `transformers`.

    Args:
        folder: made when it is not there.
        seed: of the weights.
        texts: that the tokenizer is trained on.
        width: of both towers, whose MLPs are twice as wide.
        dimension: of the embeddings.
    """
    import torch
    from transformers import CLIPConfig, CLIPModel

    from examples.bootstrap_encoder.text_tokenizer import train_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    tokens = train_tokenizer(list(texts), folder, vocabulary_size=vocabulary_size, context_length=context_length)
    tower = {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
    }
    ends = {"bos_token_id": tokens - 2, "eos_token_id": tokens - 1, "pad_token_id": tokens - 1}
    torch.manual_seed(seed)
    config = CLIPConfig(
        text_config={**tower, **ends, "vocab_size": tokens, "max_position_embeddings": context_length},
        vision_config={**tower, "image_size": image_size, "patch_size": patch_size},
        projection_dim=dimension,
    )
    CLIPModel(config).save_pretrained(folder)
    content = Preprocessing(image_size=image_size, resize_shorter_side=image_size).to_huggingface()
    (folder / "preprocessor_config.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder folder: pictures of 64 pixels, texts of 24 tokens, 48 dimensions."""
    folder = tmp_path_factory.mktemp("checkpoint")
    return write_tiny_clip(
        folder, vocabulary_size=700, context_length=24, image_size=64, width=64, layers=2, dimension=48
    )
