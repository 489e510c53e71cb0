"""The embedding job: what has no block yet is spread over tasks of Spark or of this process; the rest costs nothing."""

from __future__ import annotations

import logging
import queue
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from spark_jobs.embedding.progress import watched
from spark_jobs.embedding.units import EmbeddingUnit, missing_units
from spark_jobs.embedding.worker import SUMMARY_SCHEMA, EmbedTask, embed_partition, embed_units
from spark_runtime.configuration import in_process_rows, local_threads
from vitrine.catalogs import Catalog, get_catalog
from vitrine.connections import open_connections
from vitrine.errors import SettingsError, SpaceMixError
from vitrine.head.reader import external_fingerprint
from vitrine.settings import Settings

if TYPE_CHECKING:
    from pyspark.resource import ResourceProfile
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

UNITS_A_TASK = 64  # at most: a task that fails is begun again, and its progress shows only by the ledger


@dataclass(frozen=True)
class EmbedSummary:
    """What one run of the job did.

    Attributes:
        units: that had no block when it began.
        blocks, images: that this run committed; fewer than `units` when another run was first.
        workers: Python processes that had units.
        encoder_loads: of all of them together: one in each worker of Spark, one for each task at once in this process.
    """

    units: int = 0
    blocks: int = 0
    images: int = 0
    workers: int = 0
    encoder_loads: int = 0
    seconds: float = 0.0

    @property
    def images_per_s(self) -> float:
        """Images embedded in a second, start-up of Spark included."""
        return self.images / self.seconds if self.seconds else 0.0


def run_embed_job(
    settings: Settings,
    *,
    catalog_id: str,
    fingerprint: str,
    manifests: Mapping[str, str] | None = None,
) -> EmbedSummary:
    """Commits a block for every unit that has none under the encoder; few pictures in this process (`in_process_rows`).

    Args:
        settings: of the platform.
        catalog_id: whose manifests.
        fingerprint: of the encoder, or `external_fingerprint` in a catalog that brings its own vectors.
        manifests: day to manifest_id; None means the head.

    Raises:
        SpaceMixError: the fingerprint is of another kind of space than the catalog's.
        SettingsError: GPUs are asked for without a cluster.
        ObjectCorruptError: a pack holds other bytes than were validated.
    """
    began = time.monotonic()
    catalog = get_catalog(settings.catalogs_file, catalog_id)
    _check_space(catalog, fingerprint)
    with open_connections(settings) as (object_store, ledger):
        if manifests is None:
            manifests = ledger.partitions.head(catalog_id).manifests
        units = missing_units(
            object_store, ledger.blocks, catalog=catalog, fingerprint=fingerprint, manifests=manifests
        )
        if not units:
            log.info("embed %s: every unit has a block under %s", catalog_id, fingerprint)
            return EmbedSummary(seconds=time.monotonic() - began)
        _check_gpus(settings)
        log.info("embed %s: %d units have no block under %s", catalog_id, len(units), fingerprint)
        # Executors run in folders of their own: a relative state folder would be another one in each.
        task = EmbedTask(settings.model_copy(update={"state_dir": settings.state_dir.absolute()}), catalog, fingerprint)
        with watched(ledger, catalog_id=catalog_id, fingerprint=fingerprint, units=len(units)):
            here = _are_few(settings, catalog, units)
            summary = _in_process(settings, task, units) if here else _by_spark(settings, task, units)
    summary = replace(summary, seconds=time.monotonic() - began)
    log.info(
        "embed %s: %d blocks, %d images in %.1f s (%.1f images/s), %d worker processes, %d encoder loads",
        catalog_id,
        summary.blocks,
        summary.images,
        summary.seconds,
        summary.images_per_s,
        summary.workers,
        summary.encoder_loads,
    )
    return summary


def _in_process(settings: Settings, task: EmbedTask, units: Sequence[EmbeddingUnit]) -> EmbedSummary:
    waiting: queue.SimpleQueue[EmbeddingUnit] = queue.SimpleQueue()
    for unit in units:
        waiting.put(unit)
    slots = min(len(units), local_threads(settings))
    with _one_torch(settings), ThreadPoolExecutor(slots, thread_name_prefix="embed") as pool:
        running = [pool.submit(embed_units, task, _taken(waiting), slot=slot) for slot in range(slots)]
        wait(running, return_when=FIRST_EXCEPTION)
        deque(_taken(waiting), maxlen=0)  # where one has failed, the others end with the unit that they are at
        return _summary(units, [future.result() for future in running])


def _are_few(settings: Settings, catalog: Catalog, units: Sequence[EmbeddingUnit]) -> bool:
    """Tells whether the units hold few vectors; a row group is embedded whole, however few items name it."""
    if settings.spark_gpus_per_task > 0:  # only Spark knows which GPU is free
        return False
    in_unit = [unit.rows if catalog.space == "vectors" else settings.pack_rows for unit in units]
    return sum(in_unit) <= in_process_rows(settings)


@contextmanager
def _one_torch(settings: Settings) -> Iterator[None]:
    """Holds torch's number of threads, which is of the whole process, while several encoders compute in it."""
    if settings.inference_engine != "torch" or settings.inference_device != "cpu":
        yield
        return
    from vitrine.processes.state import torch_threads

    with torch_threads(settings.inference_threads):
        yield


def _taken(waiting: queue.SimpleQueue[EmbeddingUnit]) -> Iterator[EmbeddingUnit]:
    while True:
        try:
            yield waiting.get_nowait()
        except queue.Empty:
            return


def _by_spark(settings: Settings, task: EmbedTask, units: Sequence[EmbeddingUnit]) -> EmbedSummary:
    from spark_runtime.session import spark_session

    tasks = min(len(units), max(4 * settings.spark_partitions, -(-len(units) // UNITS_A_TASK)))
    rows = [(unit.source_id, unit.row_group, unit.key) for unit in units]
    with spark_session(settings, name=f"embed {task.catalog.catalog_id}") as spark:
        frame = spark.createDataFrame(rows, "source_id string, row_group int, key string").repartition(tasks)
        done = frame.mapInArrow(
            partial(embed_partition, task), SUMMARY_SCHEMA, profile=_gpu_profile(settings, spark)
        ).collect()  # one row for each task
    return _summary(units, [row.asDict() for row in done])


def _summary(units: Sequence[EmbeddingUnit], done: Sequence[Mapping[str, Any]]) -> EmbedSummary:
    return EmbedSummary(
        units=len(units),
        blocks=sum(row["blocks"] for row in done),
        images=sum(row["images"] for row in done),
        workers=len({row["worker"] for row in done}),
        encoder_loads=sum(row["encoder_loads"] for row in done),
    )


def _check_space(catalog: Catalog, fingerprint: str) -> None:
    if catalog.space == "vectors":
        expected = external_fingerprint(catalog.catalog_id, catalog.dimension or 0)
        if fingerprint != expected:
            raise SpaceMixError(
                f"catalog {catalog.catalog_id} brings its own vectors: expected fingerprint {expected}, found "
                f"{fingerprint}; no encoder embeds it"
            )
    elif fingerprint.startswith("external-"):
        raise SpaceMixError(
            f"catalog {catalog.catalog_id} is embedded by an encoder, found the fingerprint {fingerprint} of vectors "
            "that items bring; name a published encoder"
        )


def _check_gpus(settings: Settings) -> None:
    if settings.spark_gpus_per_task > 0 and settings.spark_master.startswith("local"):
        raise SettingsError(
            f"VITRINE_SPARK_GPUS_PER_TASK={settings.spark_gpus_per_task} asks Spark to hand out GPUs, which only a "
            f"cluster does; VITRINE_SPARK_MASTER is {settings.spark_master!r}: name a cluster, or set the GPUs to "
            "0 and VITRINE_INFERENCE_DEVICE=cuda to use this machine's GPU"
        )


def _gpu_profile(settings: Settings, spark: SparkSession) -> ResourceProfile | None:
    """Returns the stage's resources: executors with a GPU, tasks with their share of it; None without GPUs."""
    if settings.spark_gpus_per_task <= 0:
        return None
    from pyspark.resource import ExecutorResourceRequests, ResourceProfileBuilder, TaskResourceRequests

    amount = max(1, round(settings.spark_gpus_per_task))
    cores = int(spark.conf.get("spark.executor.cores", "1") or 1)
    executor: Any = ExecutorResourceRequests().cores(cores).memory(settings.spark_executor_memory)
    wanted: Any = TaskResourceRequests().cpus(1).resource("gpu", settings.spark_gpus_per_task)
    return ResourceProfileBuilder().require(executor.resource("gpu", amount)).require(wanted).build
