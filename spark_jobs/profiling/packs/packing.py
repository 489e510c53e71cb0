"""The step of a profile that packs: new images in order of their hashes in, packs in the store, their locations out."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import groupby

import pyarrow as pa

from spark_jobs.deliveries.image_fetching import executor_fetcher, executor_store
from spark_jobs.profiling.candidate_batches import batches_of, packed_schema
from spark_jobs.profiling.packs.image_packs import ImageLocation, ImageToPack, plan_packs, store_pack
from spark_jobs.profiling.spool import process_spool
from spark_jobs.profiling.task import Batches, ProfileTask
from spark_runtime.configuration import is_local
from vitrine.errors import ObjectCorruptError
from vitrine.items.row_errors import at_row
from vitrine.lookahead import ahead

Pack = list[ImageToPack]


def pack_images(task: ProfileTask, batches: Batches) -> Iterator[pa.RecordBatch]:
    """New images (bucket, image_sha256, image_uri, size_bytes), in order of the first two, in; their locations out."""
    store = executor_store(task.settings)
    fetcher = executor_fetcher(task.settings)
    max_bytes = task.policy.image_max_bytes
    spool = None if task.spool is None else process_spool(task.spool)

    def content(image: ImageToPack) -> bytes:
        if spool is not None and (spooled := spool.take(image.image_sha256)) is not None:
            return spooled
        with at_row(f"image {image.image_uri}"):
            fetched = fetcher.fetch(image.image_uri, max_bytes=max_bytes)
        if fetched.data is None:
            raise ObjectCorruptError(
                f"{image.image_uri}: was profiled and cannot be read now ({fetched.fault or 'it has grown'}); "
                "run the profile again"
            )
        return fetched.data

    def stored(pack: Pack) -> list[ImageLocation]:
        return store_pack(
            store,
            pack,
            catalog_id=task.catalog_id,
            rows_per_group=task.settings.pack_rows,
            fetch=lambda wanted: pool.map(content, wanted),
        )

    # On this machine one pack is made while the one before is sent; the memory of a cluster's workers is measured out.
    beside = 1 if is_local(task.settings.spark_master) else 0
    with (
        ThreadPoolExecutor(task.settings.fetch_threads, thread_name_prefix="fetch") as pool,
        ThreadPoolExecutor(1 + beside, thread_name_prefix="pack") as packers,
    ):
        for locations in ahead(packers, stored, _packs(task, batches), limit=beside):
            yield from batches_of((asdict(location) for location in locations), packed_schema())


def _packs(task: ProfileTask, batches: Batches) -> Iterator[Pack]:
    rows = (row for batch in batches for row in batch.to_pylist())
    for _, bucket in groupby(rows, key=lambda row: row["bucket"]):
        images = (ImageToPack(row["image_sha256"], row["size_bytes"], row["image_uri"]) for row in bucket)
        yield from plan_packs(images, max_bytes=task.settings.pack_max_bytes)
