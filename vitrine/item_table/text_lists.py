"""Sorted texts in two memory-mapped arrays: the dictionary of a category, looked up without holding it in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from vitrine.row_arrays.mapped_arrays import map_array

# A JSON text may hold half of a surrogate pair, which UTF-8 has no bytes for. Order stays that of code points.
_ERRORS = "surrogatepass"


class TextList(Sequence[str]):
    """Texts end to end as UTF-8, and where each ends."""

    def __init__(self, texts: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self._texts = texts
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(f"place {place} of {len(self)} texts")
        place %= len(self)
        start = int(self._ends[place - 1]) if place else 0
        return self._texts[start : int(self._ends[place])].tobytes().decode("utf-8", _ERRORS)


def write_texts(texts: Iterable[str], *, texts_path: Path, ends_path: Path) -> None:
    """Writes texts, in the order given."""
    encoded = [text.encode("utf-8", _ERRORS) for text in texts]
    np.save(texts_path, np.frombuffer(b"".join(encoded), dtype=np.uint8))
    np.save(ends_path, np.cumsum([len(text) for text in encoded], dtype=np.int64))


def open_texts(*, texts_path: Path, ends_path: Path) -> TextList:
    """Memory-maps texts that `write_texts` wrote.

    Raises:
        ContractError: a file is missing or malformed.
    """
    ends = map_array(ends_path, dtype=np.int64)
    texts = map_array(texts_path, items=int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    return TextList(texts, ends)
