"""Rows of a Parquet file, one row group at a time, where a value that cannot be read costs only itself."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitrine.errors import DeliveryError
from vitrine.items.byte_ranges import MAX_LINE_BYTES, Unreadable
from vitrine.storage.object_file import ByteSource, RangeFile

# Each batch copies the dictionaries of its columns once: with 512 rows that took most of the time of reading.
BATCH_ROWS = 4096
# What pyarrow raises on damaged files and on values that Python cannot hold (the year 30000, text that is not UTF-8).
_READ_ERRORS = (pa.ArrowException, ValueError, OverflowError, TypeError, KeyError, OSError)
_TOO_LONG = Unreadable(f"a value of more than {MAX_LINE_BYTES:,} bytes is not a value of a row")


def parquet_row_counts(source: ByteSource, *, name: str, max_group_rows: int, max_group_bytes: int) -> list[int]:
    """Returns the rows of each row group, as the footer claims them.

    Raises:
        DeliveryError: the footer cannot be read, or claims rows or bytes that no task could read.
    """
    try:
        metadata = pq.read_metadata(pa.PythonFile(RangeFile(source), mode="r"))
    except _READ_ERRORS as error:
        raise DeliveryError(f"{name} is not a readable Parquet file: {error}; deliver it whole") from error
    counts = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    for group, rows in enumerate(counts):
        if not 0 <= rows <= max_group_rows:
            raise DeliveryError(
                f"{name}: row group {group} claims {rows:,} rows, expected at most {max_group_rows:,} "
                "(VITRINE_ITEMS_MAX_ROW_GROUP_ROWS); write it with smaller row groups"
            )
        size_bytes = metadata.row_group(group).total_byte_size
        if size_bytes > max_group_bytes:
            raise DeliveryError(
                f"{name}: row group {group} inflates to {size_bytes:,} bytes, expected at most {max_group_bytes:,} "
                "(VITRINE_ITEMS_MAX_INFLATED_BYTES); write it with smaller row groups"
            )
    return counts


def read_parquet_rows(
    source: ByteSource, *, row_group: int, rows: int, columns: list[str] | None = None
) -> Iterator[dict[str, Any] | Unreadable]:
    """Yields `rows` rows, of some columns or of all; those that a damaged page takes along are `Unreadable`."""
    done = 0
    try:
        file = _open(source)
        for batch in file.iter_batches(BATCH_ROWS, row_groups=[row_group], columns=columns, use_threads=False):
            for values in _batch_rows(batch):
                if done == rows:
                    return
                yield values
                done += 1
    except _READ_ERRORS as error:
        fault = Unreadable(f"row group {row_group} of the Parquet file cannot be read: {error}")
        yield from (fault for _ in range(rows - done))
        return
    yield from (Unreadable(f"row group {row_group} of the Parquet file ends early") for _ in range(rows - done))


def _open(source: ByteSource) -> pq.ParquetFile:
    stream = pa.PythonFile(RangeFile(source), mode="r")
    metadata = pq.read_metadata(stream)
    # A text that stands in many rows stands in the file once, and would be copied for each of them.
    leaves = [metadata.schema.column(number) for number in range(metadata.num_columns)]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    if not any(pa.types.is_fixed_size_list(field.type) for field in metadata.schema.to_arrow_schema()):
        return pq.ParquetFile(stream, metadata=metadata, read_dictionary=texts, pre_buffer=True)
    # pyarrow 25 cannot read a fixed-size list that has a null, and would lose the row group for one missing vector.
    # Without the Arrow schema in the footer they are lists, as Parquet has them.
    tail = source.read(source.size_bytes - 8, 8)
    length = int.from_bytes(tail[:4], "little")
    footer = source.read(source.size_bytes - 8 - length, length).replace(b"ARROW:schema", b"arrow:hidden")
    plain = pq.read_metadata(io.BytesIO(b"PAR1" + footer + tail))
    return pq.ParquetFile(stream, metadata=plain, read_dictionary=texts, pre_buffer=True)


def _batch_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | Unreadable]:
    names = batch.schema.names
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        yield from (Unreadable(f"the file names the column {twice!r} twice") for _ in range(batch.num_rows))
        return
    columns = [_values(column) for column in batch.columns]
    for values in zip(*columns, strict=True):
        if any(value is _TOO_LONG for value in values):
            yield _TOO_LONG
            continue
        yield {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _values(column: pa.Array) -> Iterable[Any]:
    kind = column.type
    is_vector = (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and pa.types.is_floating(kind.value_type)
    if is_vector and column.values.null_count == 0:
        return _vectors(column, np.asarray(column.offsets), np.asarray(column.values))
    if _held_bytes(column) > MAX_LINE_BYTES:
        # One at a time, as they are asked for: a file of a kilobyte can hold a gigabyte of the same text.
        return (_long_value(column.slice(row, 1)) for row in range(len(column)))
    column = _decoded(column)
    try:
        return column.to_pylist()
    except _READ_ERRORS:
        return [_value(scalar) for scalar in column]


def _long_value(row: pa.Array) -> Any:
    return _TOO_LONG if _held_bytes(row) > MAX_LINE_BYTES else _value(_decoded(row)[0])


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _held_bytes(column: pa.Array) -> int:
    """Returns how many bytes the values take when none is shared."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _held_bytes(column.flatten())
    if pa.types.is_map(kind):  # which Arrow cannot flatten
        begin, end = column.offsets[0].as_py(), column.offsets[-1].as_py()
        return sum(_held_bytes(part.slice(begin, end - begin)) for part in (column.keys, column.items))
    if pa.types.is_struct(kind):
        return sum(_held_bytes(field) for field in column.flatten())
    if not pa.types.is_dictionary(kind):
        return int(column.nbytes)
    is_large = pa.types.is_large_string(kind.value_type) or pa.types.is_large_binary(kind.value_type)
    words = column.dictionary
    # From the offsets of the values in use: `binary_length` would go through all of the dictionary for each batch.
    offsets = np.frombuffer(words.buffers()[1], np.int64 if is_large else np.int32)[words.offset :]
    used = column.indices.drop_null().to_numpy(zero_copy_only=False)
    return int(np.sum(offsets[used + 1] - offsets[used], dtype=np.int64))


def _vectors(column: pa.Array, offsets: np.ndarray, values: np.ndarray) -> list[Any]:
    # As slices of one array: a Python list of 512 floats would cost 16 KB and most of the time of reading.
    present = np.asarray(column.is_valid())
    return [values[offsets[row] : offsets[row + 1]] if present[row] else None for row in range(len(column))]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except _READ_ERRORS as error:
        return Unreadable(f"a {scalar.type} that cannot be read: {error}")
