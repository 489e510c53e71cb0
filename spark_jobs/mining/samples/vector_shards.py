"""Vector shards: the samples' vectors and what tells a false negative, in objects that a task can hold."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vitrine.connections import open_object_store
from vitrine.contracts.datasets import EmbeddingBlock, EmbeddingSet
from vitrine.contracts.training_sets import MiningParameters
from vitrine.head.embedding_sets import read_block, unit_rows
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SHARD_ROWS = 16_384  # about 17 MB at 512 dimensions
_COLUMNS = ("item_id", "split", "product", "looks", "is_anchor", "is_candidate")


@dataclass(frozen=True)
class VectorShard:
    """Some samples.

    Attributes:
        item_ids, splits: (n,) strings.
        products, looks: (n,) int64: equal numbers are one product, or near duplicates.
        is_anchor, is_candidate: (n,) whether negatives are looked for, and whether it may be one.
        embeddings: (n, dimension), float32, unit L2 norm.
    """

    item_ids: NDArray[np.object_]
    splits: NDArray[np.object_]
    products: NDArray[np.int64]
    looks: NDArray[np.int64]
    is_anchor: NDArray[np.bool_]
    is_candidate: NDArray[np.bool_]
    embeddings: NDArray[np.float32]

    def only(self, chosen: NDArray[np.bool_]) -> VectorShard:
        """Returns the chosen samples."""
        return VectorShard(**{name: values[chosen] for name, values in self.__dict__.items()})


def write_shards(
    spark: SparkSession,
    settings: Settings,
    samples: DataFrame,
    *,
    embedding_set: EmbeddingSet,
    parameters: MiningParameters,
    count: int,
    prefix: str,
) -> list[str]:
    """Writes the vectors of the samples under `prefix` and returns the keys, in order.

    A sample whose picture has another vector by now (its item was changed after the as-of day) is in no shard.

    Args:
        samples: with pack_id, row_group and embedding_key, which name a vector.
        count: how many samples there are; above the parameters' limits some are drawn by the hash of their ids.
    """
    from pyspark.sql import functions as f

    blocks = [(block.source_id, block.row_group, block.to_bytes().decode()) for block in embedding_set.blocks]
    block_rows = spark.createDataFrame(blocks, "pack_id string, row_group int, block string")
    # The same draw for both, so that the anchors are among the candidates or the other way round.
    draw = f.pmod(f.xxhash64(f.lit(parameters.seed), "item_id"), f.lit(1_000_000)) / f.lit(1_000_000.0)
    rows = (
        samples.withColumn("is_anchor", draw < parameters.neighbour_max_anchors / max(1, count))
        .withColumn("is_candidate", draw < parameters.neighbour_max_candidates / max(1, count))
        .where("is_anchor or is_candidate")
        .join(block_rows, ["pack_id", "row_group"])
        .select(*_COLUMNS, "embedding_key", "block")
    )
    shards = max(settings.spark_partitions, -(-count // SHARD_ROWS))
    ordered = rows.repartition(shards, "block").sortWithinPartitions("block", "item_id")
    written = ordered.mapInArrow(partial(_write, settings, prefix), "key string").collect()  # one row a shard
    return sorted(row.key for row in written)


def read_shard(object_store: ObjectStore, key: str) -> VectorShard:
    """Reads one shard.

    Raises:
        ObjectMissingError: it is gone.
    """
    table = pq.read_table(io.BytesIO(object_store.get_bytes(key))).combine_chunks()
    flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    item_ids, splits, products, looks, is_anchor, is_candidate = (
        table[name].to_numpy(zero_copy_only=False) for name in _COLUMNS
    )
    embeddings = unit_rows(flat.reshape(table.num_rows, -1))
    return VectorShard(item_ids, splits, products, looks, is_anchor, is_candidate, embeddings)


def _write(settings: Settings, prefix: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from pyspark import TaskContext

    store, context = open_object_store(settings), TaskContext.get()
    if context is None:
        raise RuntimeError("vector shards are written by Spark's tasks only")
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    if not (table := pa.concat_tables(tables) if tables else None):
        return
    kept, vectors = [], []
    for text in dict.fromkeys(table["block"].to_pylist()):
        block = read_block(store, EmbeddingBlock.from_bytes(text.encode()))
        rows = table.filter(pc.equal(table["block"], text))
        places = pc.index_in(rows["embedding_key"].combine_chunks(), value_set=block.embedding_keys)
        there = pc.is_valid(places)
        kept.append(rows.filter(there).select(list(_COLUMNS)))
        vectors.append(block.halves[places.filter(there).to_numpy(zero_copy_only=False)])
    halves = np.concatenate(vectors)  # (n, dimension)
    if not len(halves):
        return
    column = pa.FixedSizeListArray.from_arrays(pa.array(halves.reshape(-1)), halves.shape[1])
    stream = io.BytesIO()
    pq.write_table(pa.concat_tables(kept).append_column("embedding", column), stream, compression="none")
    key = f"{prefix}/shard-{context.partitionId():05d}-{context.taskAttemptId()}.parquet"
    store.put_bytes(key, stream.getvalue())
    yield pa.RecordBatch.from_pydict({"key": [key]})
