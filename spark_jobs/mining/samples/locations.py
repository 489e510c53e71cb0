"""Where in its row group of a pack an image lies: packs are read for their names, never for their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from vitrine.connections import open_object_store
from vitrine.errors import ContractError
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_file import open_parquet

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_LOCATION = ("pack_id", "row_group", "image_sha256")


def with_pack_rows(rows: DataFrame, settings: Settings, *, catalog_id: str, tasks: int) -> DataFrame:
    """Adds `pack_key` and `row`, the place of an image inside its row group, from 0."""
    distinct = rows.select(*_LOCATION).distinct().repartition(tasks, "pack_id", "row_group")
    ordered = distinct.sortWithinPartitions(*_LOCATION)
    columns = "pack_id string, row_group int, image_sha256 string, pack_key string, row int"
    return rows.join(ordered.mapInArrow(partial(_locate, settings, catalog_id), columns), list(_LOCATION))


def _locate(settings: Settings, catalog_id: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    store = open_object_store(settings)
    unit: tuple[str, int] | None = None
    places: dict[str, int] = {}
    for batch in batches:
        found = []
        for row in batch.to_pylist():
            key = keys.image_pack(catalog_id, row["pack_id"])
            if unit != (row["pack_id"], row["row_group"]):
                unit = (row["pack_id"], row["row_group"])
                places = _rows_of(store, key, row["row_group"])
            if (place := places.get(row["image_sha256"])) is None:
                raise ContractError(
                    f"s3://{store.bucket}/{key}: expected image {row['image_sha256']} in row group {row['row_group']}, "
                    "and it is not there; profile the delivery again"
                )
            found.append(row | {"pack_key": key, "row": place})
        if found:
            yield pa.RecordBatch.from_pylist(found, schema=_SCHEMA)


def _rows_of(store: ObjectStore, key: str, row_group: int) -> dict[str, int]:
    with open_parquet(store, key) as pack:
        names = pack.read_row_group(row_group, columns=["image_sha256"]).column(0).to_pylist()
    return {name: place for place, name in enumerate(names)}


_SCHEMA = pa.schema(
    [
        ("pack_id", pa.string()),
        ("row_group", pa.int32()),
        ("image_sha256", pa.string()),
        ("pack_key", pa.string()),
        ("row", pa.int32()),
    ]
)
