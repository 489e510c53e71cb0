"""A tiny CLIP with random weights, in the layout that `transformers` writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vitrine.encoder import fetch_encoder, publish_encoder
from vitrine.images.preprocessing import Preprocessing
from vitrine.storage import ObjectStore

TEXTS = ["a red dress with blue stripes", "two wooden chairs", "the lamp is red and dressy"] * 5


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder folder: pictures of 64 pixels, texts of 24 tokens, 48 dimensions."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    from examples.bootstrap_encoder.text_tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("checkpoint")
    tokens = train_tokenizer(TEXTS, folder, vocabulary_size=700, context_length=24)
    tower = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"vocab_size": tokens, "max_position_embeddings": 24, "bos_token_id": tokens - 2, "eos_token_id": tokens - 1}
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={**tower, **text, "pad_token_id": tokens - 1},
        vision_config={**tower, "image_size": 64, "patch_size": 16},
        projection_dim=48,
    )
    CLIPModel(config).save_pretrained(folder)
    content = Preprocessing(image_size=64, resize_shorter_side=64).to_huggingface()
    (folder / "preprocessor_config.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def published(checkpoint: Path, s3_server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same encoder as `fetch_encoder` brings it: converted, with its manifest."""
    store = ObjectStore("published-encoders", **s3_server)
    store.ensure_bucket()
    return fetch_encoder(publish_encoder(checkpoint, store), store, tmp_path_factory.mktemp("encoders"))
