"""From a query to an answer, by one release from beginning to end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.item_paths import item_path
from serving.nearest import nearest_groups, nearest_rows
from serving.problems import NotReadyError, from_image
from serving.queries import Query
from serving.worker_slots import ServingRelease
from vitrine.errors import ContractError, DecodersBusyError, EncoderError, ImageError, RequestError
from vitrine.images.decoders.pool import Decoders
from vitrine.images.decoding import WorkLimit
from vitrine.item_table.table import StoredItem
from vitrine.settings import Settings

# Two threads at most wait for pictures of rare kinds; the others go on searching.
_DECODERS = Decoders(processes=1, waiting=1, niceness=5)


@dataclass(frozen=True)
class Answer:
    """An answer and what it took, in seconds."""

    body: dict[str, Any]
    encode_s: float
    search_s: float


def answer(query: Query, serving: ServingRelease, settings: Settings) -> Answer:
    """Encodes, searches and reads the items found; the body is a `SearchResponse`.

    Raises:
        RequestError: the query does not fit the catalog.
    """
    started = time.perf_counter()
    allowed = serving.loaded.items.filter_rows(query.filters)
    vector, own_row = _query_vector(query, serving, settings)
    encoded = time.perf_counter()
    nearest = _nearest(query, serving)
    scores, rows = nearest(vector, serving.loaded.index, top_k=query.top_k, allowed=allowed, own_row=own_row)
    items = serving.loaded.items.items(rows)
    results = [
        {**_summary(item, serving.catalog_id), "score": round(score, 6)}
        for item, score in zip(items, scores.tolist(), strict=True)
    ]
    ended = time.perf_counter()
    body = {
        "query_id": f"q-{secrets.token_hex(8)}",
        "release_id": serving.release_id,
        "results": results,
        "timings_ms": {
            "encode": round((encoded - started) * 1_000, 3),
            "search": round((ended - encoded) * 1_000, 3),
            "total": round((ended - started) * 1_000, 3),
        },
    }
    return Answer(body, encoded - started, ended - encoded)


def find_item(item_id: str, serving: ServingRelease) -> StoredItem:
    """Returns an item of the release.

    Raises:
        RequestError: the catalog has no such item.
    """
    item = serving.loaded.items.item(item_id)
    if item is None:
        raise RequestError(
            f"catalog {serving.catalog_id} has no item {item_id[:200]!r} in release {serving.release_id}",
            status=404,
            title="No such item",
        )
    return item


def spread_items(serving: ServingRelease, *, limit: int) -> dict[str, Any]:
    """Returns up to `limit` items from all over the catalog, as an `ItemList`."""
    count = serving.loaded.index.items
    rows = np.unique(np.linspace(0, count - 1, min(limit, count)).astype(np.int64)) if count else np.empty(0, np.int64)
    # Neighbours in a catalog are often alike, so what is shown side by side comes from apart.
    rows = np.random.default_rng(count).permutation(rows)
    items = [_summary(item, serving.catalog_id) for item in serving.loaded.items.items(rows)]
    return {"release_id": serving.release_id, "items": items}


def image_url(item: StoredItem, catalog_id: str) -> str | None:
    """Returns where the item's picture is served: the URL changes with the picture, so it may be cached for ever."""
    if item.picture is None:
        return None
    return f"{item_path(item.item_id, 'image')}catalog={catalog_id}&v={item.picture.sha256[:16]}"


def _query_vector(query: Query, serving: ServingRelease, settings: Settings) -> tuple[NDArray[np.float32], int | None]:
    """Returns the vector of a query, and the row that is left out of its answer."""
    if query.item_id is not None:
        row = find_item(query.item_id, serving).row
        return serving.loaded.index.reconstruct(row), row
    if query.embedding is not None:
        dimension = serving.loaded.index.dimension
        if len(query.embedding) != dimension:
            raise RequestError(
                f"embedding: catalog {serving.catalog_id} has {dimension} dimensions, found {len(query.embedding)}"
            )
        return query.embedding, None
    return _encoded(query, serving, settings), None


def _encoded(query: Query, serving: ServingRelease, settings: Settings) -> NDArray[np.float32]:
    encoder = serving.loaded.encoder
    if encoder is None:
        raise RequestError(
            f"catalog {serving.catalog_id} brings its own vectors and has no encoder: a query by {query.modality} "
            "cannot be answered; send item_id or embedding"
        )
    try:
        if query.image is not None:
            work = WorkLimit.of(settings.search_max_decode_s, _DECODERS)
            picture = encoder.preprocessing.decode(query.image, max_pixels=settings.search_max_pixels, work=work)
            batch = encoder.encode_images([picture])
        else:
            batch = encoder.encode_texts([query.text or ""])
    except ImageError as error:
        raise from_image(error) from error
    except DecodersBusyError as error:
        raise NotReadyError(str(error)) from error
    except (ContractError, EncoderError) as error:
        raise RequestError(
            f"{query.modality}: cannot be encoded: {error}", status=422, title="Not encodable"
        ) from error
    return np.asarray(batch.embeddings[0], dtype=np.float32)


def _nearest(query: Query, serving: ServingRelease) -> Callable[..., tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Returns how a query looks for its rows."""
    if query.dedupe is None:
        return nearest_rows
    groups = serving.loaded.items.groups.get(query.dedupe)
    if groups is None:
        raise RequestError(
            f"dedupe: release {serving.release_id} of catalog {serving.catalog_id} does not say which items are one "
            f"{query.dedupe}; its item table was built before that was known, and the next build tells"
        )
    return partial(nearest_groups, groups=groups)


def _summary(item: StoredItem, catalog_id: str) -> dict[str, Any]:
    return {
        "item_id": item.item_id,
        "title": item.title,
        "category": item.category,
        "image_url": image_url(item, catalog_id),
        "price": item.price,
        "brand": item.brand,
        "color": item.color,
        "in_stock": item.in_stock,
        "parent_id": item.parent_id,
    }
