"""Near duplicates: pictures whose perceptual hashes differ in few bits, and what they are connected to.

Hashes that differ in at most d bits agree in one of d + 1 bands of their bits (`vitrine.duplicates.hash_bands`), so
hashes are compared only within a band's bucket and none is missed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_jobs.mining.samples.components import connected_components
from vitrine.duplicates.hash_bands import HASH_BITS, Band, agreeing_bands

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def with_near_duplicate_groups(rows: DataFrame, *, max_distance: int, tasks: int) -> DataFrame:
    """Adds `near_duplicate_group`: equal for pictures that are connected by steps of up to `max_distance` bits.

    Args:
        rows: with `hash` (bigint; null: like no other picture) and `image_sha256`.
        max_distance: in bits of 64.
        tasks: that look for components.
    """
    from pyspark.sql import functions as f

    hashes = rows.select("hash").where("hash is not null").distinct()
    components = connected_components(near_edges(hashes, max_distance=max_distance), tasks=tasks)
    grouped = rows.join(components.withColumnRenamed("node", "hash"), "hash", "left")
    named = f.lower(f.lpad(f.hex(f.coalesce("component", "hash")), 16, "0"))
    group = f.when(f.col("hash").isNull(), f.concat(f.lit("image-"), f.substring("image_sha256", 1, 16)))
    return grouped.withColumn("near_duplicate_group", group.otherwise(f.concat(f.lit("looks-"), named))).drop(
        "component"
    )


def near_edges(hashes: DataFrame, *, max_distance: int) -> DataFrame:
    """Returns every pair `first` < `second` of distinct hashes that differ in at most `max_distance` bits, once."""
    from pyspark.sql import functions as f

    bits = [_bits(f.col("hash"), band) for (band,) in agreeing_bands(max_distance + 1, max_distance=max_distance)]
    banded = hashes.select("hash", f.posexplode(f.array(bits)).alias("band", "bits"))
    left = banded.withColumnRenamed("hash", "first")
    right = banded.withColumnRenamed("hash", "second")
    near = f.bit_count(f.col("first").bitwiseXOR(f.col("second"))) <= max_distance
    return (
        left.join(right, ["band", "bits"])
        .where((f.col("first") < f.col("second")) & near)
        .select("first", "second")
        .distinct()
    )


def _bits(value: Column, band: Band) -> Column:
    from pyspark.sql import functions as f

    if band.width == HASH_BITS:
        return value
    return f.shiftrightunsigned(value, band.start).bitwiseAND(f.lit(band.mask).cast("bigint"))
