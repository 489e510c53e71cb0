"""Human grades: how well an item answers a query item, 0 to 5, from a file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from vitrine.connections import open_object_store
from vitrine.errors import ContractError
from vitrine.identity import sha256_hex
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_file import open_parquet

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

POSITIVE_FROM, NEGATIVE_UNTIL, HIGHEST = 3.0, 1.0, 5.0
GRADE_SCHEMA = pa.schema([("query_item_id", pa.string()), ("item_id", pa.string()), ("grade", pa.float64())])
_COLUMNS = "query_item_id string, item_id string, grade double"


def store_grades(object_store: ObjectStore, catalog_id: str, path: Path) -> tuple[str, str]:
    """Copies a file of grades into the store, as Parquet; returns its key and its SHA-256.

    Raises:
        ContractError: the file is no CSV or Parquet with the three columns, or a grade is not within 0 and 5.
    """
    try:
        table = pq.read_table(path) if path.suffix == ".parquet" else pa.csv.read_csv(path)
        table = table.select(GRADE_SCHEMA.names).cast(GRADE_SCHEMA)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ContractError(
            f"{path}: expected a .csv or .parquet file with the columns {GRADE_SCHEMA.names}, found: {error}"
        ) from error
    sound = pc.and_(pc.greater_equal(table["grade"], 0.0), pc.less_equal(table["grade"], HIGHEST))
    if not pc.all(pc.fill_null(sound, False)).as_py() or any(column.null_count for column in table.columns):
        raise ContractError(f"{path}: expected a grade from 0 to 5 in every row, and both ids; correct the file")
    stream = io.BytesIO()
    pq.write_table(table, stream)
    sha256 = sha256_hex(stream.getvalue())
    key = keys.training_grades(catalog_id, sha256)
    if not object_store.exists(key):
        object_store.put_bytes(key, stream.getvalue())
    return key, sha256


def read_grades(spark: SparkSession, settings: Settings, key: str) -> DataFrame:
    """Returns `query_item_id`, `item_id` and the mean `grade` of all who judged the pair; no item with itself."""
    from pyspark.sql import functions as f

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        store = open_object_store(settings)
        for batch in batches:
            for name in batch.column("key").to_pylist():
                with open_parquet(store, name) as parquet:
                    yield from parquet.iter_batches()

    rows = spark.createDataFrame([(key,)], "key string").mapInArrow(read, _COLUMNS)
    distinct = rows.where(f.col("query_item_id") != f.col("item_id"))
    return distinct.groupBy("query_item_id", "item_id").agg(f.avg("grade").alias("grade"))
