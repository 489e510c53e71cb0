"""What a profile job will do: the splits of the delivery's items files, and the sizes of what comes out."""

from __future__ import annotations

from itertools import islice

from spark_jobs.profiling.task import ItemsFile, ProfileTask
from vitrine.contracts.datasets import Delivery
from vitrine.items.files import plan_splits, read_rows
from vitrine.items.image_uris import ImagePlaces
from vitrine.items.limits import ReadingLimits
from vitrine.items.policy import IngestPolicy
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_file import StoredBytes

PART_ROWS = 50_000
# A part of a catalog that brings vectors is read whole where it is embedded.
PART_VECTOR_BYTES = 64_000_000
# Rows of one task: enough to be worth a task, few enough that a lost one costs minutes.
TASK_ROWS = 20_000
_TYPICAL_ROW_BYTES = 300
_LONG_ROW_BYTES = 20_000  # more than this a row on average is no small delivery, whatever its rows


def plan_profile(
    settings: Settings, store: ObjectStore, delivery: Delivery, *, policy: IngestPolicy, attempt: str
) -> ProfileTask:
    """Plans the profile of a delivery; only footers of Parquet files are read."""
    prefix = keys.delivery_prefix(delivery.catalog_id, delivery.dt, delivery.delivery_id)
    files = tuple(ItemsFile(f"{prefix}/items/{file.name}", file.size_bytes) for file in delivery.files)
    splits = tuple(
        split
        for number, file in enumerate(files)
        for split in plan_splits(
            StoredBytes(store, file.key, file.size_bytes),
            name=delivery.files[number].name,
            file_number=number,
            limits=ReadingLimits.of(settings),
        )
    )
    part_rows = PART_ROWS
    if policy.dimension is not None:
        part_rows = max(1000, min(PART_ROWS, PART_VECTOR_BYTES // (4 * policy.dimension)))
    return ProfileTask(
        settings=settings,
        policy=policy,
        catalog_id=delivery.catalog_id,
        places=ImagePlaces(
            base=f"{delivery.images_base.rstrip('/')}/", buckets=policy.image_buckets, platform_bucket=settings.bucket
        ),
        files=files,
        splits=splits,
        parts_prefix=keys.profile_prefix(delivery.catalog_id, delivery.dt, delivery.delivery_id, attempt_id=attempt),
        listings_prefix=keys.pack_listing_prefix(delivery.catalog_id, attempt_id=attempt),
        part_rows=part_rows,
        image_marks=delivery.image_marks,
    )


def has_at_most(store: ObjectStore, task: ProfileTask, *, rows: int) -> bool:
    """Tells whether a delivery has at most so many rows; of files that do not say it, no more are read than that.

    Raises:
        DeliveryError: a gzip file inflates to more than the settings allow.
    """
    known = sum(split.rows or 0 for split in task.splits)
    uncounted = [split for split in task.splits if split.rows is None]
    if known > rows or (uncounted and sum(file.size_bytes for file in task.files) > rows * _LONG_ROW_BYTES):
        return False
    limits = ReadingLimits.of(task.settings)
    for split in uncounted:
        file = task.files[split.file_number]
        found = read_rows(StoredBytes(store, file.key, file.size_bytes), split, limits=limits)
        known += sum(1 for _ in islice(found, rows + 1 - known))
        if known > rows:
            return False
    return True


def task_count(task: ProfileTask) -> int:
    """Returns over how many Spark tasks the rows are spread."""
    known = sum(split.rows or 0 for split in task.splits)
    rows = known or sum(file.size_bytes for file in task.files) // _TYPICAL_ROW_BYTES
    return max(task.settings.spark_partitions, rows // TASK_ROWS)
