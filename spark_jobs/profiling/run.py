"""The steps of a profile: rows are read and judged, images judged and packed, candidate parts written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from spark_jobs.deliveries.image_listing import MARKS_PER_GROUP, marks_schema
from spark_jobs.profiling import workers
from spark_jobs.profiling.candidate_batches import (
    judged_images_schema,
    judged_rows_schema,
    packed_schema,
    written_parts_schema,
)
from spark_jobs.profiling.engine import Frame, ProfileEngine, bucket_count
from spark_jobs.profiling.packs.listings import LISTING_ROWS, Listing, listing_schema, read_listings, write_listing
from spark_jobs.profiling.packs.packing import pack_images
from spark_jobs.profiling.plan import task_count
from vitrine.errors import ContractError

_LISTING_TASKS = 4  # for each partition of the settings: most listings are small
_SOUGHT_IMAGES = 100_000  # 64 bytes each: 6 MB on the driver and in each task


@dataclass(frozen=True)
class ProfileOutput:
    """What a profile wrote.

    Attributes:
        parts: a row of `written_parts_schema` for each part of candidate rows, in order.
        listings: where the images lie that were packed now.
    """

    parts: list[dict[str, Any]]
    listings: list[Listing]


def run_profile(engine: ProfileEngine, task: workers.ProfileTask, *, listings: Sequence[Listing]) -> ProfileOutput:
    """Runs the job.

    Args:
        engine: Spark, or this process.
        task: as planned.
        listings: of all profiles before: what they tell of is not packed again.
    """
    read = partial(workers.read_splits, task, _first_rows(engine, task))
    rows = _with_marks(engine, task, engine.each(len(task.splits), read, judged_rows_schema()))
    tasks = task_count(task)
    spread = engine.spread(rows, tasks=tasks, by="row_number")
    profiled = engine.apply(spread, partial(workers.profile_images, task), judged_images_schema())
    judged = engine.keep(engine.last_of_duplicates(profiled, tasks=tasks))
    total = engine.count(judged)
    if total == 0:
        return ProfileOutput([], [])
    images = engine.keep(engine.accepted_images(judged))
    located = _located(engine, task, images, listings=listings, rows=total)
    new = engine.keep(engine.new_images(images, located))
    count, total_bytes = engine.counted(new)
    packed = engine.keep(_packed(engine, task, new, count=count, total_bytes=total_bytes))
    candidates = engine.with_locations(judged, engine.union(packed, located), space=task.policy.space)
    parts = engine.in_parts(candidates, parts=-(-total // task.part_rows), part_rows=task.part_rows)
    written = engine.collect(engine.apply(parts, partial(workers.write_parts, task), written_parts_schema()))
    found = sorted(written, key=lambda row: row["part"])
    if (rows_written := sum(row["rows"] for row in found)) != total:
        raise ContractError(f"expected {total:,} candidate rows, found {rows_written:,} in the parts; run it again")
    return ProfileOutput(found, _write_listings(engine, task, packed, count=count))


def _with_marks(engine: ProfileEngine, task: workers.ProfileTask, rows: Frame) -> Frame:
    if task.image_marks is None:
        return rows
    groups = max(1, min(task.image_marks.rows // MARKS_PER_GROUP, _LISTING_TASKS * task.settings.spark_partitions))
    marks = engine.each(groups, partial(workers.read_marks, task, groups), marks_schema())
    return engine.with_marks(rows, marks, images=task.image_marks.rows)


def _located(
    engine: ProfileEngine, task: workers.ProfileTask, images: Frame, *, listings: Sequence[Listing], rows: int
) -> Frame | None:
    """Returns where those of the images lie that were packed before; None where nothing was.

    A day's delivery is small and the listings hold the whole catalog: the day's hashes go to the listings, which are in
    their order, and of 100 million locations only those near them are read. A large delivery is joined like any table.
    """
    sought = engine.hashes(images) if rows <= _SOUGHT_IMAGES else None
    met = [listing for listing in listings if sought is None or listing.may_hold(sought)]
    if not met:
        return None
    groups = min(len(met), _LISTING_TASKS * task.settings.spark_partitions)
    keys = [[listing.key for listing in met[group::groups]] for group in range(groups)]
    known = engine.each(groups, partial(read_listings, task, keys, sought), packed_schema())
    if sought is None:
        known = engine.known_images(known, images)
    return engine.keep(engine.distinct_locations(known))


def _packed(engine: ProfileEngine, task: workers.ProfileTask, images: Frame, *, count: int, total_bytes: int) -> Frame:
    buckets = bucket_count(
        images=count,
        total_bytes=total_bytes,
        pack_rows=task.settings.pack_rows,
        pack_max_bytes=task.settings.pack_max_bytes,
    )
    return engine.apply(engine.in_buckets(images, buckets=buckets), partial(pack_images, task), packed_schema())


def _write_listings(engine: ProfileEngine, task: workers.ProfileTask, packed: Frame, *, count: int) -> list[Listing]:
    if count == 0:
        return []
    spread = engine.spread(packed, tasks=-(-count // LISTING_ROWS))
    written = engine.collect(engine.apply(spread, partial(write_listing, task), listing_schema()))
    if (rows := sum(row["rows"] for row in written)) != count:
        raise ContractError(f"expected {count:,} images in the pack listings, found {rows:,}; run it again")
    return sorted((Listing(**row) for row in written), key=lambda listing: listing.key)


def _first_rows(engine: ProfileEngine, task: workers.ProfileTask) -> list[int]:
    """Returns the number of the first row of each split; splits are counted only where others follow them."""
    counts = {number: split.rows for number, split in enumerate(task.splits)}
    last = len(task.splits) - 1
    if any(rows is None for number, rows in counts.items() if number != last):
        schema = pa.schema([pa.field("split", pa.int64()), pa.field("rows", pa.int64())])
        counted = engine.collect(engine.each(len(task.splits), partial(workers.count_split_rows, task), schema))
        counts = {row["split"]: row["rows"] for row in counted}
    first_rows, position = [], 0
    for number in range(len(task.splits)):
        first_rows.append(position)
        position += counts[number] or 0
    return first_rows
