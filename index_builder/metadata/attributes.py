"""Attributes of some rows, parsed from their JSON once for each distinct text."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Scalar = str | bool | int | float


class Attributes:
    """The scalar attributes of some rows; lists, objects and numbers without bounds are left out.

    Attributes:
        values: of each name, the places of the distinct texts that have it, and its value there.
        places: (rows,): which distinct text a row has.
        distinct: how many distinct texts there are.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        parsed = _parsed(encoded.dictionary.to_pylist())
        self.distinct = len(parsed)
        self.places: NDArray[np.int64] = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        self.values: dict[str, tuple[list[int], list[Scalar]]] = {}
        for place, attributes in enumerate(parsed):
            if isinstance(attributes, dict):
                for name, value in attributes.items():
                    if _is_scalar(value):
                        places, values = self.values.setdefault(name, ([], []))
                        places.append(place)
                        values.append(value)

    def row_counts(self) -> NDArray[np.int64]:
        """Returns how many rows have each distinct text."""
        return np.bincount(self.places, minlength=self.distinct)


def attribute_text(value: Scalar) -> str:
    """Returns an attribute's value as a category has it: a text as it is, others as JSON."""
    if isinstance(value, str):
        return value
    return repr(value) if not isinstance(value, bool) else "true" if value else "false"


def _parsed(texts: list[str | None]) -> list[Any]:
    """Parses texts in one go, which takes half of what one at a time takes."""
    objects = json.loads("[" + ",".join(text or "{}" for text in texts) + "]")
    # A text that is no JSON by itself may be one among others: then they are not as many.
    return objects if len(objects) == len(texts) else [json.loads(text or "{}") for text in texts]


def _is_scalar(value: Any) -> bool:
    kind = type(value)
    if kind is int:
        return -(1 << 63) < value < 1 << 63
    return kind is str or kind is bool or (kind is float and math.isfinite(value))
