"""A release in a worker's memory: opened, checked against its fingerprint, warmed up and tried out."""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from serving.release_cache import CachedRelease
from vitrine.contracts.releases import Release
from vitrine.encoder import Encoder, load_encoder
from vitrine.errors import ReleaseError
from vitrine.item_table.table import ItemTable
from vitrine.settings import Settings
from vitrine.vector_index import VectorIndex

SMOKE_QUERIES = 8
# An approximate index may miss an item that is asked for by its own vector, and twins may stand before it.
_SMOKE_PASS_SHARE = 0.75
_SAME_SCORE = 1e-4


@dataclass(frozen=True)
class LoadedRelease:
    """A release that can answer."""

    release: Release
    index: VectorIndex
    items: ItemTable
    encoder: Encoder | None
    load_ms: float


class Encoders:
    """Encoders in memory, one for each fingerprint, for as long as a slot needs it."""

    def __init__(self, settings: Settings, compiled_folder: Path) -> None:
        self._settings = settings
        self._compiled_folder = compiled_folder
        self._loaded: weakref.WeakValueDictionary[str, Encoder] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()  # two catalogs that come at once share one encoder, not two

    def load(self, folder: Path, fingerprint: str) -> Encoder:
        """Returns the encoder that lies in `folder`.

        Raises:
            EncoderError: it cannot be loaded, or fails its checks.
        """
        with self._lock:
            encoder = self._loaded.get(fingerprint)
            if encoder is None:
                encoder = load_encoder(
                    folder,
                    engine=self._settings.inference_engine,
                    device=self._settings.inference_device,
                    precision=self._settings.inference_precision,
                    cache_dir=self._compiled_folder,
                    threads=self._settings.inference_threads,
                    batch_size=1,
                )
                self._loaded[fingerprint] = encoder
            return encoder


def load_release(cached: CachedRelease, encoders: Encoders) -> LoadedRelease:
    """Opens a release and proves that it answers.

    Raises:
        ReleaseError: parts do not fit together, or the smoke queries fail.
        VitrineError: a part cannot be opened.
    """
    started = time.perf_counter()
    release = cached.release
    index = VectorIndex.open(cached.index_folder, cached.index)
    items = ItemTable.open(cached.items_folder, cached.items)
    encoder = encoders.load(cached.encoder_folder, release.fingerprint) if cached.encoder_folder else None
    _check(release, index, items, encoder)
    index.touch()
    _warm_up(index, encoder)
    _smoke(release, index, items)
    return LoadedRelease(release, index, items, encoder, (time.perf_counter() - started) * 1_000)


def _check(release: Release, index: VectorIndex, items: ItemTable, encoder: Encoder | None) -> None:
    expectations: list[tuple[str, object, object]] = [
        ("dimension of the index", release.dimension, index.dimension),
        ("items of the index", release.items, index.items),
        ("items of the item table", release.items, items.items_count),
    ]
    if encoder is not None:
        # A query is never encoded by another model than the catalog was.
        expectations += [
            ("fingerprint of the encoder", release.fingerprint, encoder.fingerprint),
            ("dimension of the encoder", release.dimension, encoder.dimension),
        ]
    for what, expected, found in expectations:
        if expected != found:
            raise ReleaseError(f"release {release.release_id}: {what}: expected {expected}, found {found}")


def _warm_up(index: VectorIndex, encoder: Encoder | None) -> None:
    """First queries pay for cold caches and lazy allocations: they are paid here."""
    queries = [np.full((1, index.dimension), index.dimension**-0.5, dtype=np.float32)]
    if encoder is not None:
        queries.append(encoder.encode_texts(["a warm-up query"]).embeddings)
        queries.append(encoder.encode_images([Image.new("RGB", (64, 64), (200, 120, 80))]).embeddings)
    for query in queries:
        index.search(query, top_k=10)


def _smoke(release: Release, index: VectorIndex, items: ItemTable) -> None:
    """Sampled items are looked for by their own vectors and must come back first."""
    if index.items == 0:
        return
    rows = np.unique(np.linspace(0, index.items - 1, SMOKE_QUERIES).astype(np.int64))
    found = 0
    for row in rows:
        query = index.reconstruct(int(row))[None, :]
        scores, answers = index.search(query, top_k=min(10, index.items))
        own = float((query @ index.reconstruct(int(row)))[0])
        found += int(row in answers[0] or float(scores[0, 0]) >= own - _SAME_SCORE)
    sampled = items.items(rows)
    by_id = items.rows_by_item_id(item.item_id for item in sampled)
    aligned = all(by_id.get(item.item_id) == item.row for item in sampled)
    if found < len(rows) * _SMOKE_PASS_SHARE or not aligned:
        raise ReleaseError(
            f"release {release.release_id}: smoke queries: expected at least {_SMOKE_PASS_SHARE:.0%} of {len(rows)} "
            f"items to be found by their own vectors, found {found}"
            + ("" if aligned else "; items and rows are not aligned")
        )
