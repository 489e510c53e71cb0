"""Nearest neighbours that are no positives: exact search, shard against shard, in the embedding space of an encoder.

A task holds one shard of anchors and one of candidates at a time, so its memory does not grow with the catalog. The
work grows with anchors times candidates; both are bounded by the parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spark_jobs.mining.samples.vector_shards import VectorShard, read_shard
from vitrine.connections import open_object_store
from vitrine.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_ANCHORS_AT_ONCE = 512  # scores of 512 x 16,384 in float32: 34 MB
_DECIMALS = 5  # of a score; below, the last bits of two processors differ
_COLUMNS = "anchor string, negative string, split string, score float, choice int"


def neighbour_candidates(spark: SparkSession, settings: Settings, shards: Sequence[str], *, top_k: int) -> DataFrame:
    """Returns the `top_k` nearest samples of each anchor in its split: anchor, negative, split, score, choice (from 1).

    None is of the anchor's product or a near duplicate of it. `score` is the cosine similarity.
    """
    listed = spark.createDataFrame([(key,) for key in shards], "key string").repartition(max(1, len(shards)))
    return listed.mapInArrow(partial(_search, settings, tuple(shards), top_k), _COLUMNS)


def nearest(anchors: VectorShard, candidates: Iterable[VectorShard], *, top_k: int) -> tuple[NDArray, NDArray]:
    """Returns the nearest candidates of each anchor over all shards.

    Returns:
        item_ids (n_anchors, top_k), "" where there are fewer, and scores (n_anchors, top_k), falling; of equal scores
        the smaller item_id comes first.
    """
    n_anchors = len(anchors.item_ids)
    best_ids = np.full((n_anchors, top_k), "", dtype=object)
    best = np.full((n_anchors, top_k), -np.inf, dtype=np.float32)
    for shard in candidates:
        for start in range(0, n_anchors, _ANCHORS_AT_ONCE):
            rows = slice(start, start + _ANCHORS_AT_ONCE)
            scores = np.round(anchors.embeddings[rows] @ shard.embeddings.T, _DECIMALS)  # (n, n_candidates)
            false = anchors.splits[rows, None] != shard.splits[None, :]
            false |= anchors.products[rows, None] == shard.products[None, :]
            false |= anchors.looks[rows, None] == shard.looks[None, :]
            scores[false] = -np.inf
            for row, of_row in enumerate(scores, start=start):
                # All that tie with the last place, so that no order of reading decides.
                floor = np.partition(of_row, -top_k)[-top_k] if len(of_row) > top_k else -np.inf
                places = np.flatnonzero((of_row >= max(floor, best[row, -1])) & np.isfinite(of_row))
                ids = np.concatenate([best_ids[row], shard.item_ids[places]])
                merged = np.concatenate([best[row], of_row[places]])
                order = np.lexsort((ids, -merged))[:top_k]
                best_ids[row], best[row] = ids[order], merged[order]
    return best_ids, best


def _search(
    settings: Settings, shards: tuple[str, ...], top_k: int, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    store = open_object_store(settings)
    for batch in batches:
        for key in batch.column("key").to_pylist():
            own = read_shard(store, key)
            anchors = own.only(own.is_anchor)
            others = (read_shard(store, other) for other in shards)
            ids, scores = nearest(anchors, (shard.only(shard.is_candidate) for shard in others), top_k=top_k)
            rows, choices = np.nonzero(np.isfinite(scores))
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array(anchors.item_ids[rows], pa.string()),
                    pa.array(ids[rows, choices], pa.string()),
                    pa.array(anchors.splits[rows], pa.string()),
                    pa.array(scores[rows, choices], pa.float32()),
                    pa.array(choices + 1, pa.int32()),
                ],
                names=["anchor", "negative", "split", "score", "choice"],
            )
