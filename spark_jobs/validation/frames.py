"""The narrow table that the suites look at: one row for each delivered row, with what the expectations compare.

Made by pyarrow in both engines, so that pandas and Spark judge the very same values.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from vitrine.contracts.items import candidate_schema
from vitrine.errors import ContractError
from vitrine.storage import ObjectStore
from vitrine.storage.object_file import open_parquet

ACCEPTED, DELETED = "accepted", "deleted"  # verdicts beside the reasons of `vitrine.contracts.items.Reason`

_KEPT = {
    "row_number": "bigint",
    "item_id": "string",
    "image_uri": "string",
    "deleted": "boolean",
    "attributes": "string",
    "image_sha256": "string",
    "image_size_bytes": "double",
    "image_mode": "string",
    "image_format": "string",
    "perceptual_hash": "string",
    "source_id": "string",
    "row_group": "double",
    "embedding_key": "string",
}
_DERIVED = {
    "verdict": "string",
    "image_pixels": "double",
    "image_shorter_side": "double",
    "image_aspect_ratio": "double",
    "embedding_dimension": "double",
}
FRAME_DDL = ", ".join(f"{name} {kind}" for name, kind in (_KEPT | _DERIVED).items())
_READ = [*_KEPT, "image_width", "image_height", "embedding", "reject_reason"]


@cache
def frame_schema() -> pa.Schema:
    """Returns the schema of the table; numbers that may be missing are doubles, as pandas would make them."""
    kinds = {"bigint": pa.int64(), "string": pa.string(), "boolean": pa.bool_(), "double": pa.float64()}
    return pa.schema([pa.field(name, kinds[kind]) for name, kind in (_KEPT | _DERIVED).items()])


def frame_batches(object_store: ObjectStore, key: str, *, batch_rows: int = 16_384) -> Iterator[pa.RecordBatch]:
    """Reads a part of candidate rows as batches of the table.

    Raises:
        ContractError: the part has another schema than candidate rows have.
    """
    with open_parquet(object_store, key) as part:
        check_schema(part.schema_arrow, where=f"s3://{object_store.bucket}/{key}")
        for batch in part.iter_batches(batch_size=batch_rows, columns=_READ):
            yield to_frame(batch)


def to_frame(candidates: pa.RecordBatch) -> pa.RecordBatch:
    """Returns the table's rows for a batch of candidate rows."""
    width = pc.cast(candidates.column("image_width"), pa.float64())
    height = pc.cast(candidates.column("image_height"), pa.float64())
    longer, shorter = (pick(width, height, skip_nulls=False) for pick in (pc.max_element_wise, pc.min_element_wise))
    standing = pc.if_else(candidates.column("deleted"), DELETED, ACCEPTED)
    derived = {
        "verdict": pc.coalesce(candidates.column("reject_reason"), standing),
        "image_pixels": pc.multiply(width, height),
        "image_shorter_side": shorter,
        "image_aspect_ratio": pc.divide(longer, shorter),
        "embedding_dimension": pc.cast(pc.list_value_length(candidates.column("embedding")), pa.float64()),
    }
    schema = frame_schema()
    columns = [
        derived[field.name] if field.name in derived else pc.cast(candidates.column(field.name), field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def check_schema(found: pa.Schema, *, where: str) -> None:
    """Refuses a part that does not hold candidate rows.

    Raises:
        ContractError: names the columns that differ.
    """
    expected = candidate_schema()
    if found.remove_metadata().equals(expected):
        return
    differing = sorted({str(field) for field in found} ^ {str(field) for field in expected})
    raise ContractError(f"{where}: expected the schema of candidate rows, found other columns: {differing[:6]}")
