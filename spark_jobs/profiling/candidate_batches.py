"""The columns of candidate rows on their way through Spark, and the batches that workers exchange with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import pyarrow as pa

from vitrine.contracts.items import candidate_schema, item_fields, profile_fields, verdict_fields

BATCH_ROWS = 256


def judged_rows_schema() -> pa.Schema:
    """Item columns and a verdict: what can be said of a row without its image."""
    return pa.schema([*item_fields(), *verdict_fields()])


def judged_images_schema() -> pa.Schema:
    """Item columns, the image's profile and a verdict."""
    return pa.schema([*item_fields(), *profile_fields(), *verdict_fields()])


def packed_schema() -> pa.Schema:
    """Where an image's bytes lie."""
    return pa.schema(
        [
            pa.field("image_sha256", pa.string()),
            pa.field("pack_id", pa.string()),
            pa.field("image_offset", pa.int64()),
            pa.field("row_group", pa.int32()),
        ]
    )


def written_parts_schema() -> pa.Schema:
    """One row for each part of candidate rows; `counts` is a JSON object."""
    return pa.schema(
        [
            pa.field("part", pa.int64()),
            pa.field("key", pa.string()),
            pa.field("rows", pa.int64()),
            pa.field("sha256", pa.string()),
            pa.field("counts", pa.string()),
        ]
    )


def batches_of(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yields rows as small batches: a worker holds one of them at a time."""
    source = iter(rows)
    while batch := list(islice(source, BATCH_ROWS)):
        yield pa.RecordBatch.from_pylist(batch, schema=schema)


def candidate_table(batches: list[pa.RecordBatch]) -> pa.Table:
    """Returns the rows of a part as a table of exactly the contract's schema.

    Its chunks begin with the part: they decide where the pages of a Parquet file end, and equal rows are to be equal
    bytes whoever handed them over.
    """
    table = pa.Table.from_batches(batches).select(candidate_schema().names).cast(candidate_schema()).combine_chunks()
    return pa.Table.from_batches(table.to_batches(max_chunksize=BATCH_ROWS), candidate_schema())
