"""Parts of a training set: written by Spark's tasks under names of their own attempt, and named to the driver."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from vitrine.connections import open_object_store
from vitrine.contracts.datasets import PartFile
from vitrine.identity import sha256_hex
from vitrine.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PART_ROWS = 200_000  # a task holds one part


@dataclass(frozen=True)
class WrittenParts:
    """What the tasks wrote.

    Attributes:
        counts: rows by the values of the columns that were counted by.
    """

    parts: tuple[PartFile, ...]
    counts: dict[tuple[str, ...], int]


def write_parts(
    frame: DataFrame,
    settings: Settings,
    *,
    schema: pa.Schema,
    prefix: str,
    attempt_id: str,
    rows: int,
    count_by: Sequence[str],
) -> WrittenParts:
    """Writes a frame as Parquet parts `<prefix>/part-<number>-<attempt>-<task>.parquet`.

    Args:
        frame: with the schema's columns, and those to count by.
        schema: of the parts; rows go to parts by its first column, and are sorted by all that can be.
        rows: how many there are, which says how many parts.
        count_by: columns whose values are counted.
    """
    tasks = max(1, -(-rows // PART_ROWS))
    ordered = frame.select(*dict.fromkeys([*schema.names, *count_by])).repartition(tasks, schema.names[0])
    ordered = ordered.sortWithinPartitions(*schema.names)
    write = partial(
        _write, settings=settings, schema=schema, stem=f"{prefix}/part", attempt_id=attempt_id, count_by=tuple(count_by)
    )
    written = ordered.mapInArrow(write, "part string, counts string").collect()  # one row a part
    counts: Counter[tuple[str, ...]] = Counter()
    for row in written:
        for *values, number in json.loads(row.counts):
            counts[tuple(values)] += number
    parts = sorted((PartFile.from_bytes(row.part.encode()) for row in written), key=lambda part: part.key)
    return WrittenParts(tuple(parts), dict(sorted(counts.items())))


def _write(
    batches: Iterable[pa.RecordBatch],
    *,
    settings: Settings,
    schema: pa.Schema,
    stem: str,
    attempt_id: str,
    count_by: tuple[str, ...],
) -> Iterator[pa.RecordBatch]:
    from pyspark import TaskContext

    context = TaskContext.get()
    if context is None:
        raise RuntimeError("parts are written by Spark's tasks only")
    tables = [pa.Table.from_batches([batch]) for batch in batches if batch.num_rows]
    if not tables:
        return
    table = pa.concat_tables(tables)
    counts = Counter(zip(*(table[name].to_pylist() for name in count_by), strict=True))
    stream = io.BytesIO()
    content = table.select(schema.names).replace_schema_metadata(None).cast(schema)
    pq.write_table(content, stream, compression="zstd", row_group_size=16_384)
    key = f"{stem}-{context.partitionId():05d}-{attempt_id}-{context.taskAttemptId()}.parquet"
    open_object_store(settings).put_bytes(key, stream.getvalue())
    part = PartFile(key=key, rows=table.num_rows, sha256=sha256_hex(stream.getvalue()))
    told = json.dumps([[*values, number] for values, number in sorted(counts.items())])
    yield pa.RecordBatch.from_pydict({"part": [part.to_bytes().decode()], "counts": [told]})
