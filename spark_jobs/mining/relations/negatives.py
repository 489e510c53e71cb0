"""Hard negatives, and what must not be one: the anchor's product, its near duplicates and its positives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_jobs.mining.relations.grades import NEGATIVE_UNTIL
from vitrine.contracts.training_sets import NegativeSource

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SPARE = 4  # candidates for each negative that is wanted: some turn out to be positives


def category_candidates(samples: DataFrame, *, per_anchor: int, seed: int) -> DataFrame:
    """Returns items of the anchor's category and split, in a ring whose order is drawn by the seed: anchor, negative,
    split, score (null) and `choice`, by which the first ones are kept."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    ring = Window.partitionBy("split", "category").orderBy(f.xxhash64(f.lit(seed), "item_id"), "item_id")
    ranked = samples.where("category is not null").select("item_id", "split", "category", "product", "looks")
    ranked = ranked.withColumn("rank", f.row_number().over(ring) - 1)
    ranked = ranked.withColumn("size", f.count("*").over(Window.partitionBy("split", "category")))
    steps = f.sequence(f.lit(1), f.least(f.lit(_SPARE * max(1, per_anchor)), f.col("size") - 1).cast("int"))
    anchors = ranked.where("size > 1" if per_anchor else "false").withColumn("choice", f.explode(steps))
    anchors = anchors.withColumn("rank", (f.col("rank") + f.col("choice")) % f.col("size"))
    others = ranked.select(
        f.col("item_id").alias("negative"),
        "split",
        "category",
        "rank",
        f.col("product").alias("other_product"),
        f.col("looks").alias("other_looks"),
    )
    met = anchors.join(others, ["split", "category", "rank"])
    return met.where("product != other_product and looks != other_looks").select(
        f.col("item_id").alias("anchor"), "negative", "split", f.lit(None).cast("float").alias("score"), "choice"
    )


def chosen_negatives(
    candidates: DataFrame, positives: DataFrame, *, per_anchor: int, source: NegativeSource
) -> DataFrame:
    """Returns the first `per_anchor` candidates of each anchor, by `choice`, that are not among its positives."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    known = positives.select("anchor", f.col("positive").alias("negative"))
    turned = positives.select(f.col("positive").alias("anchor"), f.col("anchor").alias("negative"))
    left = candidates.join(known.unionByName(turned).distinct(), ["anchor", "negative"], "left_anti")
    order = Window.partitionBy("anchor").orderBy("choice", "negative")
    kept = left.withColumn("place", f.row_number().over(order)).where(f.col("place") <= per_anchor)
    return kept.select("anchor", "negative", "split", f.lit(str(source)).alias("source"), "score")


def graded_candidates(grades: DataFrame, samples: DataFrame) -> DataFrame:
    """Returns items that people graded 1 or worse; never those of the anchor's product or its near duplicates."""
    from pyspark.sql import functions as f

    bad = grades.where(f.col("grade") <= NEGATIVE_UNTIL)
    first = samples.select(f.col("item_id").alias("query_item_id"), "split", "product", "looks")
    second = samples.select("item_id", "split", f.col("product").alias("other"), f.col("looks").alias("other_looks"))
    met = bad.join(first, "query_item_id").join(second, ["item_id", "split"])
    return met.where("product != other and looks != other_looks").select(
        f.col("query_item_id").alias("anchor"),
        f.col("item_id").alias("negative"),
        "split",
        f.lit(None).cast("float").alias("score"),
        f.lit(1).alias("choice"),
    )
