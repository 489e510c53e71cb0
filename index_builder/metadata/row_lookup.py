"""From an item id to its row in an index version, for many items in little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vitrine.errors import ContractError
from vitrine.row_arrays.sorted_rows import ROW_TYPE

NO_ROW = -1


class RowLookup:
    """Rows by the hash of their item id, sorted: 12 bytes of memory an item, 20 while it is made.

    An id that the version lacks may be answered with the row of another id, once in 2^64 / items: who asks compares the
    ids in the end. Ids of the version whose hashes are equal are told apart by their texts.

    Args:
        read_item_ids: reads the ids of every row, in order of rows, in batches; called again where hashes are equal.
        items: how many they are.
        hash_of: of 64 bits; Python's own, which is quick, and differs from process to process.

    Raises:
        ContractError: there are more ids, or fewer.
    """

    def __init__(
        self, read_item_ids: Callable[[], Iterable[pa.Array]], *, items: int, hash_of: Callable[[str], int] = hash
    ) -> None:
        self._hash_of = hash_of
        hashes = np.empty(items, dtype=np.int64)
        start = 0
        for batch in read_item_ids():
            if start + len(batch) <= items:
                hashes[start : start + len(batch)] = self._hashes(batch.to_pylist())
            start += len(batch)
        if start != items:
            raise ContractError(f"the index says that it has {items} rows, its row files hold {start}; build it again")
        self._rows = np.argsort(hashes).astype(ROW_TYPE)
        hashes.sort()
        self._sorted = hashes
        shared = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
        self._shared = _rows_by_id(read_item_ids(), self._hashes, shared) if len(shared) else {}

    def rows(self, item_ids: pa.Array) -> NDArray[np.int64]:
        """Returns the row of each id, `NO_ROW` where there is none."""
        texts = item_ids.to_pylist()
        hashes = self._hashes(texts)
        places = np.minimum(np.searchsorted(self._sorted, hashes), max(len(self._sorted) - 1, 0))
        rows = np.where(self._sorted[places] == hashes, self._rows[places].astype(np.int64), NO_ROW)
        if self._shared:
            rows = np.array([self._shared.get(text, row) for text, row in zip(texts, rows.tolist(), strict=True)])
        return rows

    def _hashes(self, texts: list[str]) -> NDArray[np.int64]:
        return np.fromiter(map(self._hash_of, texts), dtype=np.int64, count=len(texts))


def _rows_by_id(
    item_ids: Iterable[pa.Array], hashes_of: Callable[[list[str]], NDArray[np.int64]], shared: NDArray[np.int64]
) -> dict[str, int]:
    found: dict[str, int] = {}
    start = 0
    for batch in item_ids:
        texts = batch.to_pylist()
        for place in np.flatnonzero(np.isin(hashes_of(texts), shared)).tolist():
            found[texts[place]] = start + place
        start += len(batch)
    return found
