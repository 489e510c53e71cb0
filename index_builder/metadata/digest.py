"""A hash of a table's contents, fed in pieces: it depends on the values and their order, on nothing else."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitrine.identity import ID_LENGTH, canonical_json


class MetadataDigest:
    """SHA-256 of each column: which values are there, how long they are, and what they hold."""

    def __init__(self, columns: list[str]) -> None:
        self._columns = {name: (hashlib.sha256(), hashlib.sha256()) for name in columns}

    def update(self, table: pa.Table) -> None:
        """Adds the next rows; how many come at a time makes no difference."""
        for name, (shape, content) in self._columns.items():
            column = table[name].combine_chunks()
            if pa.types.is_string(column.type):
                lengths = pc.fill_null(pc.binary_length(column), -1)
                shape.update(lengths.to_numpy(zero_copy_only=False).astype("<i4").tobytes())
                content.update(_text_bytes(column))
            else:
                shape.update(pc.is_valid(column).to_numpy(zero_copy_only=False).tobytes())
                content.update(_number_bytes(column))

    def hexdigest(self) -> str:
        """Returns the hash of all rows so far."""
        parts = {name: [half.hexdigest() for half in halves] for name, halves in self._columns.items()}
        return hashlib.sha256(canonical_json(parts)).hexdigest()[:ID_LENGTH]


def _text_bytes(column: pa.Array) -> memoryview | bytes:
    present = column.drop_null()
    if not len(present):
        return b""
    _, ends, data = present.buffers()
    offsets = np.frombuffer(ends, dtype=np.int32)[present.offset : present.offset + len(present) + 1]
    return memoryview(data)[int(offsets[0]) : int(offsets[-1])] if data is not None else b""


def _number_bytes(column: pa.Array) -> bytes:
    if pa.types.is_floating(column.type):
        return pc.fill_null(column, 0.0).to_numpy(zero_copy_only=False).astype("<f8").tobytes()
    if pa.types.is_boolean(column.type):
        return pc.fill_null(column, False).to_numpy(zero_copy_only=False).astype(np.uint8).tobytes()
    return pc.fill_null(column.cast(pa.int64()), 0).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
