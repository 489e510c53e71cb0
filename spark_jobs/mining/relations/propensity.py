"""How likely a position is looked at, estimated from impressions and clicks.

The position-based model: P(click | item i at position k) = theta_k * gamma_i (Richardson et al., Predicting clicks, WWW
2007; Joachims et al., Unbiased learning-to-rank with biased feedback, WSDM 2017, section 5). theta_k is the
click-through of a position normalised by how often its items are clicked wherever they stand, and gamma_i that of an
item normalised by where it stood; the two are computed in turn, which raises the Poisson likelihood of the counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitrine.contracts.events import EventKind

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

ROUNDS = 5
MAX_POSITION = 1_000


def estimate_propensities(events: DataFrame, *, min_propensity: float) -> dict[int, float]:
    """Returns the propensity of each position that was shown, from 1; the first one's is 1, none is above it.

    Args:
        events: of which impressions and clicks count, one of each for a query, an item and a position.
        min_propensity: lower ones are raised to it, or a single click far below would outweigh everything.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    wanted = [str(EventKind.IMPRESSION), str(EventKind.CLICK)]
    once = events.where(f.col("kind").isin(wanted) & f.col("position").between(1, MAX_POSITION))
    once = once.select("query_id", "item_id", "position", "kind").distinct()
    counts = once.groupBy("item_id", "position").agg(
        f.sum((f.col("kind") == wanted[0]).cast("double")).alias("shown"),
        f.sum((f.col("kind") == wanted[1]).cast("double")).alias("clicked"),
    )
    counts = counts.where("shown > 0").repartition("item_id").persist()
    try:
        positions = [row.position for row in counts.select("position").distinct().collect()]  # at most MAX_POSITION
        theta = dict.fromkeys(sorted(positions), 1.0)
        by_item = Window.partitionBy("item_id")
        for _ in range(ROUNDS if theta else 0):
            exposure = f.sum(f.col("shown") * propensity_of(theta)).over(by_item)
            gamma = f.sum("clicked").over(by_item) / exposure
            rows = (
                counts.withColumn("expected", f.col("shown") * gamma)
                .groupBy("position")
                .agg(f.sum("clicked").alias("clicked"), f.sum("expected").alias("expected"))
                .collect()
            )
            theta = {row.position: row.clicked / row.expected if row.expected else 0.0 for row in rows}
            first = theta.get(1) or max(theta.values()) or 1.0
            # Zero would take an item that is seen only there out of the next round.
            theta = {k: max(min(value / first, 1.0), 1e-6) for k, value in sorted(theta.items())}
    finally:
        counts.unpersist()
    return {position: max(value, min_propensity) for position, value in theta.items()}


def propensity_of(propensities: dict[int, float]) -> Column:
    """Returns the propensity of the column `position`; a position that was never seen has the lowest one."""
    from pyspark.sql import functions as f

    if not propensities:
        return f.lit(1.0)
    pairs = [f.lit(value) for pair in propensities.items() for value in (pair[0], float(pair[1]))]
    lowest = f.lit(float(min(propensities.values())))
    return f.coalesce(f.try_element_at(f.create_map(*pairs), f.col("position")), lowest)
