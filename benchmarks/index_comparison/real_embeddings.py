"""Embeddings of photographs and texts that lie in a folder, in the items format, under the encoder that comes with
Vitrine; or vectors of a .npy file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_HELD_OUT = 0.12  # of the vectors: these are the queries and not in the index
_AT_ONCE = 64
_LEAST_QUERIES = 40  # of fewer a recall says nothing


@dataclass(frozen=True)
class RealVectors:
    """Vectors to index, and queries that are not among them: each (n, dimension), float32, unit L2 norm."""

    name: str
    rows: NDArray[np.float32]
    images: NDArray[np.float32]
    texts: NDArray[np.float32]

    def queries(self, distribution: str, count: int) -> NDArray[np.float32]:
        """Returns up to `count` queries of a distribution."""
        drawn = self.images if distribution == "image" else self.texts
        return drawn[:count] if len(drawn) >= _LEAST_QUERIES else drawn[:0]


def read_real_vectors(source: Path, *, say: Callable[[str], None]) -> RealVectors:
    """Reads a .npy of (n, dimension), or embeds a folder with an items file; every eighth or so becomes a query."""
    if source.suffix == ".npy":
        vectors = np.load(source).astype(np.float32)
        texts = np.empty((0, vectors.shape[1]), dtype=np.float32)
    else:
        vectors, texts = _embedded(source, say=say)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = np.random.default_rng(0).permutation(len(vectors))
    queries = round(len(vectors) * _HELD_OUT)
    return RealVectors(source.stem, vectors[order[queries:]], vectors[order[:queries]], texts)


def _embedded(folder: Path, *, say: Callable[[str], None]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the embeddings of all photographs and those of all texts that differ."""
    from training.bootstrap import ENCODER_FOLDER
    from vitrine.encoder import load_encoder

    encoder = load_encoder(ENCODER_FOLDER, engine="torch")
    items = pd.read_json(folder / "items.jsonl", lines=True)
    say(f"{folder.name}: {len(items)} photographs to embed")
    images = []
    for start in range(0, len(items), _AT_ONCE):
        pictures = [(folder / uri).read_bytes() for uri in items["image_uri"][start : start + _AT_ONCE]]
        images.append(encoder.encode_images(pictures).embeddings)
    texts = sorted(
        {text for name in ("title", "description") if name in items for text in items[name].dropna() if text.strip()}
    )
    embedded = [
        encoder.encode_texts(texts[start : start + _AT_ONCE]).embeddings for start in range(0, len(texts), _AT_ONCE)
    ]
    return np.concatenate(images), np.concatenate(embedded or [np.empty((0, encoder.dimension), dtype=np.float32)])
