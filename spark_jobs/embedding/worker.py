"""What runs inside Spark's Python workers. The encoder is kept in this module, so a worker process loads it once.

Spark pickles functions of `__main__` by value, and their caches with them: a model cached there loads for each task.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from spark_jobs.embedding.images import embed_images
from spark_jobs.embedding.units import EmbeddingUnit
from spark_jobs.embedding.vectors import embed_vectors
from vitrine.catalogs import Catalog
from vitrine.connections import open_connections
from vitrine.contracts.datasets import EmbeddingBlock
from vitrine.encoder import Encoder, fetch_encoder, load_encoder
from vitrine.errors import SettingsError
from vitrine.images.preprocessing import DEFAULT_MAX_PIXELS
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

SUMMARY_SCHEMA = "worker string, units bigint, blocks bigint, images bigint, encoder_loads bigint, seconds double"

_loaded: dict[tuple[str, str, str, str, int, int], Encoder] = {}
_loads: Counter[int] = Counter()  # by slot: the count is what shows that a process loads once
_lock = threading.Lock()
_loading: dict[int, threading.Lock] = {}


@dataclass(frozen=True)
class EmbedTask:
    """What each Spark task needs beside its units. Its settings hold secrets, so it is never logged."""

    settings: Settings
    catalog: Catalog
    fingerprint: str


def embed_partition(task: EmbedTask, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Embeds the units of one Spark partition and yields one row: what this task did."""
    done = embed_units(task, _units_of(batches))
    if done["units"]:
        yield pa.RecordBatch.from_pylist([done])


def embed_units(task: EmbedTask, units: Iterator[EmbeddingUnit], *, slot: int = 0) -> dict[str, Any]:
    """Embeds units and returns a row of `SUMMARY_SCHEMA`: what was done.

    Args:
        task: what to embed under.
        units: of one task.
        slot: each of the tasks that run in one process at once has its own encoder, as it would in a worker of Spark.
    """
    began, loads_before = time.monotonic(), _loads[slot]
    count = blocks = images = 0
    for _, block in _embed(task, units, slot):
        count += 1
        if block is not None:
            blocks += 1
            images += block.rows
    return {
        "worker": f"{socket.gethostname()}:{os.getpid()}",
        "units": count,
        "blocks": blocks,
        "images": images,
        "encoder_loads": _loads[slot] - loads_before,
        "seconds": time.monotonic() - began,
    }


def worker_encoder(
    settings: Settings, object_store: ObjectStore, fingerprint: str, *, device: str, slot: int = 0
) -> Encoder:
    """Returns the process's encoder of a slot; the first call fetches and loads it.

    Raises:
        EncoderError: it was never published, or does not load.
        SettingsError: its cache cannot be written.
    """
    wanted = (
        fingerprint,
        settings.inference_engine,
        device,
        settings.inference_precision,
        settings.embed_batch_size,
        slot,
    )
    with _lock:
        own = _loading.setdefault(slot, threading.Lock())
    with own:  # slots load side by side
        if wanted not in _loaded:
            cache = settings.state_dir / "encoders"
            try:
                cache.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SettingsError(
                    f"the encoder cannot be kept in {cache.absolute()} on {socket.gethostname()}: {error}; set "
                    "VITRINE_STATE_DIR to a folder that every Spark executor may write"
                ) from error
            _loaded[wanted] = load_encoder(
                fetch_encoder(fingerprint, object_store, cache),
                engine=settings.inference_engine,
                device=device,
                precision=settings.inference_precision,
                cache_dir=cache,
                threads=settings.inference_threads,
                batch_size=settings.embed_batch_size,
            )
            _loads[slot] += 1
        return _loaded[wanted]


def _embed(
    task: EmbedTask, units: Iterator[EmbeddingUnit], slot: int
) -> Iterator[tuple[EmbeddingUnit, EmbeddingBlock | None]]:
    settings, catalog = task.settings, task.catalog
    with open_connections(settings) as (object_store, ledger):
        if catalog.space == "vectors" and catalog.dimension is not None:
            yield from embed_vectors(
                units,
                object_store=object_store,
                blocks=ledger.blocks,
                catalog_id=catalog.catalog_id,
                fingerprint=task.fingerprint,
                dimension=catalog.dimension,
            )
        else:
            yield from embed_images(
                units,
                object_store=object_store,
                blocks=ledger.blocks,
                encoder=worker_encoder(settings, object_store, task.fingerprint, device=_device(settings), slot=slot),
                catalog_id=catalog.catalog_id,
                batch_size=settings.embed_batch_size,
                threads=settings.fetch_threads,
                max_pixels=max(DEFAULT_MAX_PIXELS, settings.image_max_pixels),
            )


def _device(settings: Settings) -> str:
    """Returns the device of this task: where Spark hands out GPUs, the one that it gave."""
    if settings.spark_gpus_per_task <= 0 or settings.inference_device != "cuda":
        return settings.inference_device
    from pyspark import TaskContext

    context = TaskContext.get()
    given = context.resources().get("gpu") if context else None
    if given is None or not given.addresses:
        raise SettingsError(
            "VITRINE_SPARK_GPUS_PER_TASK is set and Spark gave this task no GPU; let the cluster's workers offer "
            "the resource `gpu` (spark.worker.resource.gpu.amount and a discovery script)"
        )
    return f"cuda:{given.addresses[0]}"


def _units_of(batches: Iterable[pa.RecordBatch]) -> Iterator[EmbeddingUnit]:
    for batch in batches:
        for row in batch.to_pylist():
            yield EmbeddingUnit(row["source_id"], row["row_group"], row["key"])
