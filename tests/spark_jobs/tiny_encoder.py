"""A tiny CLIP with random weights, published once and copied into the bucket of each test."""

from __future__ import annotations

import json
from pathlib import Path

from vitrine.encoder import publish_encoder
from vitrine.images.preprocessing import Preprocessing
from vitrine.storage import ObjectStore

DIMENSION = 16


def publish_tiny_encoder(folder: Path, object_store: ObjectStore, *, seed: int = 0) -> str:
    """Makes an encoder of 32-pixel pictures in `folder`, publishes it and returns its fingerprint."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    from examples.bootstrap_encoder.text_tokenizer import train_tokenizer

    texts = ["a red dress with blue stripes", "two wooden chairs", "the lamp is red and dressy"] * 5
    tokens = train_tokenizer(texts, folder, vocabulary_size=600, context_length=16)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": tokens, "max_position_embeddings": 16, "bos_token_id": tokens - 2, "eos_token_id": tokens - 1}
    torch.manual_seed(seed)
    config = CLIPConfig(
        text_config={**tower, **text, "pad_token_id": tokens - 1},
        vision_config={**tower, "image_size": 32, "patch_size": 16},
        projection_dim=DIMENSION,
    )
    CLIPModel(config).save_pretrained(folder)
    content = Preprocessing(image_size=32, resize_shorter_side=32).to_huggingface()
    (folder / "preprocessor_config.json").write_text(json.dumps(content), encoding="utf-8")
    return publish_encoder(folder, object_store)


def copy_encoders(source: ObjectStore, target: ObjectStore) -> None:
    """Copies every published encoder from one bucket to another."""
    for key in source.list_keys("encoders/"):
        target.put_bytes(key, source.get_bytes(key))
