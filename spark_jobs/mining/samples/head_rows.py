"""The head as of a day, read by Spark: what `vitrine.head.reader.HeadReader` reads in one process, by the same rules.

The manifests are resolved by the same function. The rows are not read day after day, since a task that holds the ids
which newer days have decided would hold the catalog: the newest row of each item is found by a window over all days.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from vitrine.connections import open_object_store
from vitrine.contracts.datasets import Manifest
from vitrine.images.photo_kinds import photo_kind_of
from vitrine.settings import Settings
from vitrine.storage.object_file import open_parquet

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_TEXTS = ("image_sha256", "parent_id", "category", "brand", "color", "title", "description", "pack_id", "embedding_key")
_READ = ("item_id", "deleted", *_TEXTS, "row_group", "created_at", "attributes", "perceptual_hash")
_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("deleted", pa.bool_()),
        *((name, pa.string()) for name in _TEXTS),
        ("row_group", pa.int32()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("dt", pa.string()),
        ("rejected", pa.bool_()),
        ("photo_kind", pa.string()),
        ("hash", pa.int64()),
    ]
)
_COLUMNS = (
    "item_id string, deleted boolean, "
    + ", ".join(f"{name} string" for name in _TEXTS)
    + ", row_group int, created_at timestamp, dt string, rejected boolean, photo_kind string, hash bigint"
)


def read_head(spark: SparkSession, settings: Settings, manifests: Iterable[Manifest]) -> DataFrame:
    """Returns one row an item of the head that the manifests make, `first_dt` beside it: the first day that had it.

    `hash` is the perceptual hash as a signed 64-bit number; null where there is none.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    manifests = list(manifests)
    parts = [(part.key, manifest.dt, False) for manifest in manifests for part in manifest.parts]
    oldest = min(manifest.dt for manifest in manifests)
    full_days = sorted(manifest.dt for manifest in manifests if manifest.full and manifest.dt > oldest)
    parts += [
        (part.key, manifest.dt, True)
        for manifest in manifests
        if manifest.dt in full_days
        for part in manifest.quarantine_parts
    ]
    listed = spark.createDataFrame(parts, "key string, dt string, rejected boolean")
    tasks = min(len(parts), 4 * settings.spark_partitions)
    rows = listed.repartition(tasks).mapInArrow(partial(_read_parts, settings), _COLUMNS)
    if not full_days:
        rejected = None
    else:
        rows = rows.persist()
        of_full = rows.where("rejected and item_id is not null")
        rejected = of_full.groupBy("item_id").agg(f.collect_set("dt").alias("rejected_days"))
    by_item = Window.partitionBy("item_id")
    newest = (
        rows.where("not rejected")
        .withColumn("newest", f.row_number().over(by_item.orderBy(f.col("dt").desc())))
        .withColumn("first_dt", f.min("dt").over(by_item))
        .where("newest = 1 and not deleted")
    )
    if rejected is not None:
        # A full delivery removes what it omits, and a row that it rejected is not omitted.
        days = f.array([f.lit(dt) for dt in full_days])
        newest = newest.join(rejected, "item_id", "left")
        told = f.coalesce(f.col("rejected_days"), f.array().cast("array<string>"))
        omitted = f.filter(f.array_except(days, told), lambda day: day > f.col("dt"))
        newest = newest.where(f.size(omitted) == 0)
    return newest.drop("newest", "deleted", "rejected", "rejected_days")


def _read_parts(settings: Settings, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    store = open_object_store(settings)
    for listed in batches:
        for row in listed.to_pylist():
            with open_parquet(store, row["key"]) as parquet:
                for batch in parquet.iter_batches(batch_size=4096, columns=list(_READ)):
                    yield _derived(batch, dt=row["dt"], rejected=row["rejected"])


def _derived(batch: pa.RecordBatch, *, dt: str, rejected: bool) -> pa.RecordBatch:
    table = {name: batch.column(name) for name in _READ}
    kinds = [photo_kind_of(text) for text in table.pop("attributes").to_pylist()]
    hashes = [None if text is None else _signed(text) for text in table.pop("perceptual_hash").to_pylist()]
    table["deleted"] = table["deleted"].fill_null(False)
    table["dt"] = pa.array([dt] * batch.num_rows, pa.string())
    table["rejected"] = pa.array([rejected] * batch.num_rows, pa.bool_())
    table["photo_kind"] = pa.array(kinds, pa.string())
    table["hash"] = pa.array(hashes, pa.int64())
    arrays = [table[field.name].cast(field.type) for field in _SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _signed(text: str) -> int:
    return int(np.uint64(int(text, 16)).astype(np.int64))
