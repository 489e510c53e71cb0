"""A table that comes in any order, brought into the order of its rows on disk: buckets of consecutive rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_MOST_BUCKETS = 512  # each is an open file while rows come
_LEAST_ROWS = 16_384


class RowBuckets:
    """Rows of a version under a folder: first all are added, then they are read in order, one bucket in memory.

    Args:
        folder: an empty one for the buckets.
        items: rows of the version.
        schema: of what is added.
    """

    def __init__(self, folder: Path, *, items: int, schema: pa.Schema) -> None:
        self._folder = folder
        self._items = items
        self._schema = schema.append(pa.field("row", pa.int64()))
        self._bucket_rows = max(_LEAST_ROWS, -(-items // _MOST_BUCKETS))
        self._writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        folder.mkdir(parents=True)

    def add(self, batch: pa.RecordBatch, rows: NDArray[np.int64]) -> None:
        """Adds what stands in some rows."""
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        table = batch.append_column("row", pa.array(rows)) if (np.diff(order) == 1).all() else None
        if table is None:
            table = batch.take(pa.array(order)).append_column("row", pa.array(rows))
        buckets = rows // self._bucket_rows
        starts = np.flatnonzero(np.r_[True, np.diff(buckets) != 0]) if len(rows) else np.empty(0, dtype=np.int64)
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
            self._writer(int(buckets[start])).write_batch(table.slice(start, stop - start))

    def close(self) -> None:
        """Ends the adding."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yields the first row of each bucket, and the row after its last."""
        for start in range(0, self._items, self._bucket_rows):
            yield start, min(start + self._bucket_rows, self._items)

    def tables(self, *, last: bool = False) -> Iterator[tuple[int, int, pa.Table]]:
        """Yields (first row, row after the last, what was added for these rows, sorted by `row`).

        Args:
            last: a bucket's file is removed once it was yielded.
        """
        for number, (start, stop) in enumerate(self.ranges()):
            path = self._path(number)
            table = self._schema.empty_table()
            if path.is_file():
                with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as reader:
                    table = reader.read_all()
                order = np.argsort(table["row"].to_numpy(), kind="stable")
                table = table.take(pa.array(order)).combine_chunks()
            yield start, stop, table
            if last:
                path.unlink(missing_ok=True)

    def _writer(self, number: int) -> pa.ipc.RecordBatchStreamWriter:
        writer = self._writers.get(number)
        if writer is None:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            writer = pa.ipc.new_stream(str(self._path(number)), self._schema, options=options)
            self._writers[number] = writer
        return writer

    def _path(self, number: int) -> Path:
        return self._folder / f"bucket-{number:05d}.arrow"
