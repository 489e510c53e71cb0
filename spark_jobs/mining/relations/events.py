"""The events of a plan: its parts of the log, within its days, each event once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from spark_jobs.mining.samples.splitting import split_of
from vitrine.connections import open_object_store
from vitrine.contracts.events import event_schema
from vitrine.contracts.training_sets import MiningPlan
from vitrine.errors import ContractError
from vitrine.settings import Settings
from vitrine.storage.object_file import open_parquet

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_READ = (
    "event_id",
    "occurred_at",
    "kind",
    "query_id",
    "session_id",
    "query_kind",
    "query_item_id",
    "item_id",
    "position",
)
_COLUMNS = (
    "event_id string, occurred_at timestamp, kind string, query_id string, session_id string, query_kind string, "
    "query_item_id string, item_id string, position int"
)


def read_events(spark: SparkSession, settings: Settings, plan: MiningPlan) -> DataFrame:
    """Returns the events with the `split` in whose window they occurred; those of a gap are left out.

    An event counts by when it occurred, whatever day's folder it lies in.
    """
    from pyspark.sql import functions as f

    parts = [(part.key, part.size_bytes) for part in plan.event_parts]
    if not parts:
        return spark.createDataFrame([], _COLUMNS + ", split string")
    listed = spark.createDataFrame(parts, "key string, size_bytes bigint")
    tasks = min(len(parts), 4 * settings.spark_partitions)
    rows = listed.repartition(tasks).mapInArrow(partial(_read_parts, settings), _COLUMNS)
    day = f.date_format("occurred_at", "yyyy-MM-dd")
    within = rows.where((day >= plan.window.events_from) & (day <= plan.window.events_until))
    # Of two rows that claim one event the smaller stands: which one was read first must not matter.
    others = [name for name in _READ if name != "event_id"]
    once = within.groupBy("event_id").agg(f.min(f.struct(*others)).alias("row")).select("event_id", "row.*")
    return once.withColumn("split", split_of(f.col("occurred_at"), plan.window)).where("split is not null")


def _read_parts(settings: Settings, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    store = open_object_store(settings)
    wanted = pa.schema([event_schema().field(name) for name in _READ])
    for listed in batches:
        for row in listed.to_pylist():
            with open_parquet(store, row["key"]) as parquet:
                if missing := sorted(set(_READ) - set(parquet.schema_arrow.names)):
                    raise ContractError(f"s3://{store.bucket}/{row['key']}: no event log, it has no columns {missing}")
                for batch in parquet.iter_batches(batch_size=8192, columns=list(_READ)):
                    yield pa.RecordBatch.from_arrays(
                        [batch.column(field.name).cast(field.type) for field in wanted], schema=wanted
                    )
