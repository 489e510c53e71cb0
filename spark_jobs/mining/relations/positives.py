"""All positives: views of one parent, what people did, and what they said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_jobs.mining.relations.grades import HIGHEST, POSITIVE_FROM
from vitrine.contracts.training_sets import PairSource

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def view_pairs(samples: DataFrame, *, views_per_anchor: int, seed: int) -> DataFrame:
    """Returns, for each item, up to `views_per_anchor` others of its parent: those that follow it in a ring.

    The ring's order is drawn by the seed, so a parent of a thousand variants costs a thousand times a few pairs.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    ring = Window.partitionBy("split", "product").orderBy(f.xxhash64(f.lit(seed), "item_id"), "item_id")
    ranked = samples.where("parent_id is not null").select("item_id", "split", "product")
    ranked = ranked.withColumn("rank", f.row_number().over(ring) - 1)
    ranked = ranked.withColumn("views", f.count("*").over(Window.partitionBy("split", "product")))
    step = f.explode(f.sequence(f.lit(1), f.least(f.lit(views_per_anchor), f.col("views") - 1).cast("int")))
    anchors = ranked.where("views > 1").withColumn("step", step) if views_per_anchor else ranked.where("false")
    if not views_per_anchor:
        anchors = anchors.withColumn("step", f.lit(0))
    anchors = anchors.select(
        f.col("item_id").alias("anchor"),
        "split",
        "product",
        ((f.col("rank") + f.col("step")) % f.col("views")).alias("rank"),
    )
    others = ranked.select(f.col("item_id").alias("positive"), "split", "product", "rank")
    pairs = anchors.join(others, ["split", "product", "rank"])
    source, weight = f.lit(str(PairSource.VIEW)).alias("source"), f.lit(1.0).cast("float").alias("weight")
    return pairs.select("anchor", "positive", "split", source, weight)


def grade_pairs(grades: DataFrame, samples: DataFrame) -> DataFrame:
    """Returns pairs that people graded 3 or better, with grade / 5 as their weight."""
    from pyspark.sql import functions as f

    good = grades.where(f.col("grade") >= POSITIVE_FROM)
    anchors = samples.select(f.col("item_id").alias("query_item_id"), "split")
    weight = (f.col("grade") / HIGHEST).cast("float").alias("weight")
    return good.join(anchors, "query_item_id").select(
        f.col("query_item_id").alias("anchor"),
        f.col("item_id").alias("positive"),
        "split",
        f.lit(str(PairSource.GRADE)).alias("source"),
        weight,
    )


def within_splits(pairs: DataFrame, samples: DataFrame) -> DataFrame:
    """Returns the pairs of which both ends are samples of the pair's split."""
    from pyspark.sql import functions as f

    known = samples.select("item_id", "split")
    anchors = known.withColumnRenamed("item_id", "anchor")
    positives = known.withColumnRenamed("item_id", "positive")
    return (
        pairs.join(anchors, ["split", "anchor"])
        .join(positives, ["split", "positive"])
        .where(f.col("anchor") != f.col("positive"))
    )
