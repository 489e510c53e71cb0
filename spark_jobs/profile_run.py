"""The Spark steps of a profile: rows are read and judged, images judged and packed, candidate parts written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from spark_jobs import profile_workers as workers
from spark_jobs.candidate_batches import (
    judged_images_schema,
    judged_rows_schema,
    packed_schema,
    written_parts_schema,
)
from spark_jobs.image_listing import MARKS_PER_GROUP, marks_schema
from spark_jobs.pack_listings import LISTING_ROWS, listing_schema, read_listings, write_listing
from spark_jobs.profile_frames import (
    accepted_images,
    bucket_count,
    counted,
    distinct_locations,
    in_buckets,
    in_parts,
    known_images,
    last_of_duplicates,
    new_images,
    with_locations,
    with_marks,
)
from spark_jobs.profile_plan import task_count
from vitrine.errors import ContractError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_LISTING_TASKS = 4  # for each partition of the settings: a listing is small, and there is one for each day at least


@dataclass(frozen=True)
class ProfileOutput:
    """What a profile wrote.

    Attributes:
        parts: a row of `written_parts_schema` for each part of candidate rows, in order.
        listings: keys of the pack listings, which tell where the images lie that were packed now.
    """

    parts: list[dict[str, Any]]
    listings: list[str]


def run_profile(spark: SparkSession, task: workers.ProfileTask, *, listings: Sequence[str]) -> ProfileOutput:
    """Runs the job on a session.

    Args:
        spark: on this machine or a cluster.
        task: as planned.
        listings: keys of the pack listings of all profiles before: what they tell of is not packed again.
    """
    rows = _each(
        spark,
        len(task.splits),
        partial(workers.read_splits, task, _first_rows(spark, task)),
        judged_rows_schema(),
    )
    spread = _with_marks(spark, task, rows).repartition(task_count(task), "row_number")
    profiled = spread.mapInArrow(partial(workers.profile_images, task), _spark_schema(judged_images_schema()))
    with ExitStack() as kept:
        judged = _kept(last_of_duplicates(profiled, tasks=task_count(task)), kept)
        total = judged.count()
        if total == 0:
            return ProfileOutput([], [])
        images = accepted_images(judged)
        located = _located(spark, task, images, listings=listings, rows=total, kept=kept)
        new = _kept(new_images(images, located), kept)
        count, total_bytes = counted(new)
        packed = _kept(_packed(task, new, count=count, total_bytes=total_bytes), kept)
        everywhere = packed if located is None else packed.unionByName(located)
        candidates = with_locations(judged, everywhere, space=task.policy.space)
        parts = in_parts(candidates, parts=-(-total // task.part_rows), part_rows=task.part_rows)
        written = parts.mapInArrow(partial(workers.write_parts, task), _spark_schema(written_parts_schema())).collect()
        listed = _write_listings(task, packed, count=count)
    found = sorted((row.asDict() for row in written), key=lambda row: row["part"])
    if (rows_written := sum(row["rows"] for row in found)) != total:
        raise ContractError(f"expected {total:,} candidate rows, found {rows_written:,} in the parts; run it again")
    return ProfileOutput(found, listed)


def _with_marks(spark: SparkSession, task: workers.ProfileTask, rows: DataFrame) -> DataFrame:
    if task.image_marks is None:
        return rows
    groups = max(1, min(task.image_marks.rows // MARKS_PER_GROUP, _LISTING_TASKS * task.settings.spark_partitions))
    marks = _each(spark, groups, partial(workers.read_marks, task, groups), marks_schema())
    return with_marks(rows, marks, images=task.image_marks.rows)


def _located(
    spark: SparkSession,
    task: workers.ProfileTask,
    images: DataFrame,
    *,
    listings: Sequence[str],
    rows: int,
    kept: ExitStack,
) -> DataFrame | None:
    if not listings:
        return None
    groups = min(len(listings), _LISTING_TASKS * task.settings.spark_partitions)
    read = partial(read_listings, task, [listings[group::groups] for group in range(groups)])
    known = known_images(_each(spark, groups, read, packed_schema()), images, rows=rows)
    return _kept(distinct_locations(known), kept)


def _kept(frame: DataFrame, kept: ExitStack) -> DataFrame:
    """Keeps a frame until the job ends, and only this one: what others keep in a shared session stays."""
    frame.persist()
    kept.callback(frame.unpersist)
    return frame


def _packed(task: workers.ProfileTask, images: DataFrame, *, count: int, total_bytes: int) -> DataFrame:
    buckets = bucket_count(
        images=count,
        total_bytes=total_bytes,
        pack_rows=task.settings.pack_rows,
        pack_max_bytes=task.settings.pack_max_bytes,
    )
    return in_buckets(images, buckets=buckets).mapInArrow(
        partial(workers.pack_images, task), _spark_schema(packed_schema())
    )


def _write_listings(task: workers.ProfileTask, packed: DataFrame, *, count: int) -> list[str]:
    if count == 0:
        return []
    spread = packed.repartition(-(-count // LISTING_ROWS))
    written = spread.mapInArrow(partial(write_listing, task), _spark_schema(listing_schema())).collect()
    if (rows := sum(row["rows"] for row in written)) != count:
        raise ContractError(f"expected {count:,} images in the pack listings, found {rows:,}; run it again")
    return sorted(row["key"] for row in written)


def _first_rows(spark: SparkSession, task: workers.ProfileTask) -> list[int]:
    """Returns the number of the first row of each split; splits are counted only where others follow them."""
    counts = {number: split.rows for number, split in enumerate(task.splits)}
    last = len(task.splits) - 1
    if any(rows is None for number, rows in counts.items() if number != last):
        schema = pa.schema([pa.field("split", pa.int64()), pa.field("rows", pa.int64())])
        counted = _each(spark, len(task.splits), partial(workers.count_split_rows, task), schema).collect()
        counts = {row["split"]: row["rows"] for row in counted}
    first_rows, position = [], 0
    for number in range(len(task.splits)):
        first_rows.append(position)
        position += counts[number] or 0
    return first_rows


def _each(spark: SparkSession, count: int, work: Callable[..., Any], schema: pa.Schema) -> DataFrame:
    """Runs `work` on each of the numbers up to `count`, one task each."""
    return spark.range(0, count, 1, count).mapInArrow(work, _spark_schema(schema))


def _spark_schema(schema: pa.Schema) -> Any:
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(schema)
