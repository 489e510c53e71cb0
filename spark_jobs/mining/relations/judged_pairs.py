"""Positives out of what people did: clicks on two items of one answer, and thumbs for an item on another's page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_jobs.mining.relations.propensity import propensity_of
from vitrine.contracts.events import EventKind, QueryKind
from vitrine.contracts.training_sets import MiningParameters, PairSource

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# A crawler that clicks everything says nothing, and its pairs would grow with the square.
MAX_CLICKED = 50


def co_click_pairs(events: DataFrame, propensities: dict[int, float], parameters: MiningParameters) -> DataFrame:
    """Returns pairs that are clicked together, in both directions: anchor, positive, split, source and weight.

    The weight is the rate of co-clicks that would be seen if every position were looked at: each co-click counts
    1 / (p_a p_b), at most `max_click_weight`, where p is the propensity of the position (Joachims et al., WSDM 2017,
    equation 4, for two clicks that are independent given the positions), over how often both were shown together; at
    most 1. Items and pairs that were shown or clicked together too rarely are left out.

    Args:
        events: with `split`.
        propensities: of positions.
        parameters: of the plan.
    """
    from pyspark.sql import functions as f

    scope = f"{parameters.co_click_within}_id"
    shown = events.where(f.col("kind") == str(EventKind.IMPRESSION))
    often = shown.groupBy("split", "item_id").agg(f.countDistinct("query_id").alias("times"))
    often = often.where(f.col("times") >= parameters.min_impressions).select("split", "item_id")
    clicks = events.where(f.col("kind") == str(EventKind.CLICK)).withColumn("p", propensity_of(propensities))
    # An item that was clicked twice counts from where it was likelier to be seen.
    clicks = clicks.groupBy("split", scope, "item_id").agg(f.max("p").alias("p"))
    human = clicks.groupBy("split", scope).agg(f.count("*").alias("clicked")).where(f"clicked <= {MAX_CLICKED}")
    clicks = clicks.join(human.drop("clicked"), ["split", scope]).join(often, ["split", "item_id"])
    first = _named(clicks, "first", scope)
    pairs = first.join(_named(clicks, "second", scope), ["split", "scope"]).where("first < second")
    counted = f.least(1 / (f.col("p_first") * f.col("p_second")), f.lit(parameters.max_click_weight))
    pairs = pairs.groupBy("split", "first", "second").agg(f.count("*").alias("times"), f.sum(counted).alias("counted"))
    pairs = pairs.where(f.col("times") >= parameters.min_co_clicks)
    seen = shown.select("split", f.col(scope).alias("scope"), "item_id").distinct()
    together = (
        pairs.select("split", "first", "second")
        .join(seen.withColumnRenamed("item_id", "first"), ["split", "first"])
        .join(seen.withColumnRenamed("item_id", "second"), ["split", "second", "scope"])
        .groupBy("split", "first", "second")
        .agg(f.count("*").alias("together"))
    )
    weighed = pairs.join(together, ["split", "first", "second"]).where(f.col("together") >= parameters.min_impressions)
    weight = f.least(f.col("counted") / f.col("together"), f.lit(1.0)).cast("float").alias("weight")
    source = f.lit(str(PairSource.CO_CLICK)).alias("source")
    forth = weighed.select(f.col("first").alias("anchor"), f.col("second").alias("positive"), "split", source, weight)
    back = weighed.select(f.col("second").alias("anchor"), f.col("first").alias("positive"), "split", source, weight)
    return forth.unionByName(back)


def thumbs_pairs(events: DataFrame) -> DataFrame:
    """Returns pairs of a query item and an item with more thumbs up than down; the weight is the share of those up."""
    from pyspark.sql import functions as f

    up, down = str(EventKind.THUMBS_UP), str(EventKind.THUMBS_DOWN)
    about_items = (f.col("query_kind") == str(QueryKind.ITEM)) & (f.col("query_item_id") != f.col("item_id"))
    judged = events.where(f.col("kind").isin([up, down]) & about_items)
    counts = judged.groupBy("split", f.col("query_item_id").alias("anchor"), f.col("item_id").alias("positive")).agg(
        f.sum((f.col("kind") == up).cast("double")).alias("up"), f.count("*").alias("all")
    )
    share = (f.col("up") / f.col("all")).cast("float").alias("weight")
    chosen = counts.where("2 * up > all")
    return chosen.select("anchor", "positive", "split", f.lit(str(PairSource.THUMBS_UP)).alias("source"), share)


def _named(clicks: DataFrame, name: str, scope: str) -> DataFrame:
    from pyspark.sql import functions as f

    return clicks.select(
        "split", f.col(scope).alias("scope"), f.col("item_id").alias(name), f.col("p").alias(f"p_{name}")
    )
