"""A tiny CLIP with random weights, published once and copied into the bucket of each test."""

from __future__ import annotations

from pathlib import Path

from tests.tiny_clip import write_tiny_clip
from vitrine.encoder import publish_encoder
from vitrine.storage import ObjectStore

DIMENSION = 16


def publish_tiny_encoder(folder: Path, object_store: ObjectStore, *, seed: int = 0) -> str:
    """Makes an encoder of 32-pixel pictures in `folder`, publishes it and returns its fingerprint."""
    write_tiny_clip(folder, seed=seed, dimension=DIMENSION)
    return publish_encoder(folder, object_store)


def copy_encoders(source: ObjectStore, target: ObjectStore) -> None:
    """Copies every published encoder from one bucket to another."""
    for key in source.list_keys("encoders/"):
        target.put_bytes(key, source.get_bytes(key))
