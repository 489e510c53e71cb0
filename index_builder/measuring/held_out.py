"""Held-out queries: pictures and texts that the index does not hold, to measure its recall with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index_builder.measuring.vectors import RowVectors
from vitrine.contracts.datasets import EmbeddingSet
from vitrine.contracts.items import PackedImage
from vitrine.encoder.publishing import is_published
from vitrine.encoder.query_encoder import open_encoder
from vitrine.head.reader import HeadReader, external_fingerprint
from vitrine.images.altered import alter_picture, draw_alteration, read_picture
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

_COLUMNS = ("item_id", "title", "image_sha256", "pack_id", "image_offset", "image_size_bytes")
_ENCODED_AT_ONCE = 32
_TITLES_SAMPLED = 5  # items looked at for each text query that is wanted: titles repeat, and many items have none


@dataclass(frozen=True)
class HeldOutQueries:
    """Queries of one modality.

    Attributes:
        embeddings: (n, dimension), float32, unit L2 norm.
        own_rows: (n,), the row that must not answer a query because it is the query; -1 when there is none.
    """

    embeddings: NDArray[np.float32]
    own_rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.embeddings)


def held_out_queries(
    settings: Settings,
    object_store: ObjectStore,
    embedding_set: EmbeddingSet,
    *,
    item_ids: Callable[[NDArray[np.int64]], list[str]],
    vectors: RowVectors,
    count: int,
    seed: int,
) -> tuple[HeldOutQueries, HeldOutQueries]:
    """Returns image queries and text queries.

    With the encoder at hand, image queries are sampled items' pictures, re-cropped and altered, and text queries are
    titles; texts lie off the distribution of images, so they are measured apart. Without it (a catalog that brings its
    vectors, an encoder that is not published) image queries are the sampled items' own vectors, each without itself
    among the answers, and there are no text queries.

    Args:
        item_ids: returns the items of rows.
        count: of the queries of each modality, at most.
    """
    fingerprint = embedding_set.fingerprint
    external = fingerprint == external_fingerprint(embedding_set.catalog_id, embedding_set.dimension)
    if external or not is_published(fingerprint, object_store):
        sampled = vectors.sample(count, seed=seed)
        return HeldOutQueries(vectors.rows(sampled), sampled), _none(vectors.dimension)
    encoder = open_encoder(settings, object_store, fingerprint)
    generator = np.random.default_rng(seed)
    drawn = generator.choice(vectors.items, size=min(count * _TITLES_SAMPLED, vectors.items), replace=False)
    sampled_rows = _item_rows(object_store, embedding_set, item_ids(drawn))
    embeddings = []
    for start in range(0, min(count, len(sampled_rows)), _ENCODED_AT_ONCE):
        pictures = []
        for item in sampled_rows[start : min(start + _ENCODED_AT_ONCE, count)]:
            data = read_picture(object_store, _packed(item), catalog_id=embedding_set.catalog_id)
            crop, brightness = draw_alteration(generator)
            pictures.append(alter_picture(data, crop=crop, brightness=brightness))
        embeddings.append(encoder.encode_images(pictures).embeddings)
    images = np.concatenate(embeddings)
    titles = [title for item in sampled_rows if (title := (item["title"] or "").strip())]
    distinct = list(dict.fromkeys(titles))[:count]
    texts = _without_own(encoder.encode_texts(distinct).embeddings) if distinct else _none(vectors.dimension)
    return _without_own(images), texts


def _item_rows(object_store: ObjectStore, embedding_set: EmbeddingSet, item_ids: list[str]) -> list[dict]:
    """Reads the manifest rows of sampled items, in the order of `item_ids`."""
    wanted = pa.array(item_ids)
    reader = HeadReader(object_store, catalog_id=embedding_set.catalog_id, manifests=embedding_set.manifests)
    found: dict[str, dict] = {}
    for batch in reader.batches(list(_COLUMNS)):
        chosen = batch.filter(pa.compute.is_in(batch.column("item_id"), value_set=wanted))
        found.update((row["item_id"], row) for row in chosen.to_pylist())
        if len(found) == len(item_ids):
            break
    return [found[item_id] for item_id in item_ids]


def _packed(item: dict) -> PackedImage:
    return PackedImage(item["image_sha256"], item["pack_id"], item["image_offset"], item["image_size_bytes"])


def _without_own(embeddings: NDArray[np.float32]) -> HeldOutQueries:
    return HeldOutQueries(embeddings, np.full(len(embeddings), -1, dtype=np.int64))


def _none(dimension: int) -> HeldOutQueries:
    return _without_own(np.empty((0, dimension), dtype=np.float32))
