"""Attributes of some rows, parsed from their JSON once for each distinct text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Scalar = str | bool | int | float


class Attributes:
    """The scalar attributes of some rows.

    Attributes:
        distinct: the attributes of each distinct text.
        places: (rows,): which of `distinct` a row has.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        self.distinct = [_scalars(text) for text in encoded.dictionary.to_pylist()]
        self.places: NDArray[np.int64] = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)

    def counted(self) -> Iterator[tuple[dict[str, Scalar], int]]:
        """Yields distinct attributes, and how many rows have them."""
        counts = np.bincount(self.places, minlength=len(self.distinct))
        return zip(self.distinct, counts.tolist(), strict=True)


def attribute_text(value: Scalar) -> str:
    """Returns an attribute's value as a category has it: a text as it is, others as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _scalars(text: str | None) -> dict[str, Scalar]:
    parsed = json.loads(text) if text else {}
    if not isinstance(parsed, dict):
        return {}
    return {
        name: value
        for name, value in parsed.items()
        if isinstance(value, (str, bool))
        or (isinstance(value, int) and abs(value) < 1 << 63)
        or (isinstance(value, float) and math.isfinite(value))
    }
