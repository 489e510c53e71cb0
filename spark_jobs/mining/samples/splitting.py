"""Splits by time and by product: what a model is tested on is newer than, and unlike, all that it learned from.

Products that share a near-duplicate group are one unit; a unit belongs to the window in which the first of its items
was seen. An item is left out where its own time lies outside its unit's window: a test item of a product that was
trained on would leak the product, and a training item from the time of the test would leak the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_jobs.mining.samples.components import connected_components
from vitrine.contracts.training_sets import Split, TrainingWindow

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def with_splits(rows: DataFrame, window: TrainingWindow, *, tasks: int) -> DataFrame:
    """Adds `split` (null: left out) and `left_out` (why), and the numbers `product` and `looks` that stand for them.

    Args:
        rows: with item_id, parent_id, near_duplicate_group and `first_seen` (timestamp).
        window: of the training set.
        tasks: that look for components.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    # Numbers of 64 bits: two products of 10^8 share one with odds of 1 in 4,000, and then merely count as one product.
    alone = f.concat(f.lit("item "), f.col("item_id"))
    product = f.xxhash64(f.coalesce(f.concat(f.lit("parent "), f.col("parent_id")), alone))
    looks = f.xxhash64(f.concat(f.lit("group "), f.col("near_duplicate_group")))
    rows = rows.withColumn("product", product).withColumn("looks", looks)
    links = rows.select("product", "looks").distinct()
    shared = links.groupBy("looks").agg(f.count("*").alias("products")).where("products > 1").select("looks")
    edges = links.join(shared, "looks").select(f.col("product").alias("first"), f.col("looks").alias("second"))
    units = connected_components(edges, tasks=tasks).toDF("product", "unit")
    # The smallest node of a component names it and is not listed: a product that is that, or has no link, is its own.
    rows = rows.join(units, "product", "left").withColumn("unit", f.coalesce("unit", "product"))
    rows = rows.withColumn("unit_seen", f.min("first_seen").over(Window.partitionBy("unit")))
    own, of_unit = split_of(f.col("first_seen"), window), split_of(f.col("unit_seen"), window)
    split = f.when(own == of_unit, own)
    later = f.date_format("first_seen", "yyyy-MM-dd") >= f.lit(window.test_until)
    why = f.when(later, "later").when(own.isNull(), "gap").when(split.isNull(), "other_window")
    return rows.withColumn("split", split).withColumn("left_out", why).drop("unit", "unit_seen")


def split_of(time: Column, window: TrainingWindow) -> Column:
    """Returns the split in whose window a timestamp lies; null in a gap or after the end."""
    from pyspark.sql import functions as f

    day = f.date_format(time, "yyyy-MM-dd")  # sessions run in UTC
    return (
        f.when(day < window.train_until, str(Split.TRAIN))
        .when((day >= window.validation_from) & (day < window.validation_until), str(Split.VALIDATION))
        .when((day >= window.test_from) & (day < window.test_until), str(Split.TEST))
    )
