"""Sets of rows: what filters let through, as one bit a row or as row ids, whichever is smaller to work with.

Rows that a search leaves out by and by are kept beside the bits: taking some rows out of many costs what those cost,
not what the catalog does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_NONE = np.empty(0, dtype=np.int64)
_MANY_LEFT_OUT = 1 / 64  # of the rows: from there on bits are smaller than ids


class RowSet:
    """An immutable set of rows of one version; threads may share it.

    It is given by ids, or by bits, or by neither, which is every row; from the last two, rows may be left out.

    Attributes:
        items: rows that the version has.
        count: rows in the set.
    """

    def __init__(
        self,
        *,
        items: int,
        count: int,
        ids: NDArray[np.int64] | None = None,
        bits: NDArray[np.uint8] | None = None,
        left_out: NDArray[np.int64] = _NONE,
    ) -> None:
        self.items = items
        self.count = count
        self._ids = ids
        self._bits = bits
        self._left_out = left_out  # ascending, distinct, each of them in the bits
        for array in (ids, bits, left_out):
            if array is not None:
                array.flags.writeable = False

    @classmethod
    def of_ids(cls, ids: NDArray[np.integer[Any]], *, items: int) -> RowSet:
        """Makes a set of distinct row ids, ascending."""
        return cls(items=items, count=len(ids), ids=np.array(ids, dtype=np.int64))

    @classmethod
    def of_bits(cls, bits: NDArray[np.uint8], *, items: int) -> RowSet:
        """Makes a set of bits as `empty_bits` lays them out."""
        return cls(items=items, count=int(np.bitwise_count(bits.view(np.uint64)).sum()), bits=bits)

    @classmethod
    def of_mask(cls, mask: NDArray[np.bool_]) -> RowSet:
        """Makes a set of a mask: (items,), bool."""
        bits = empty_bits(len(mask))
        packed = np.packbits(mask, bitorder="little")
        bits[: len(packed)] = packed
        return cls.of_bits(bits, items=len(mask))

    @property
    def size_bytes(self) -> int:
        """What the set holds in memory."""
        return sum(array.nbytes for array in (self._ids, self._bits, self._left_out) if array is not None)

    @property
    def ids(self) -> NDArray[np.int64]:
        """The rows, ascending: (count,), int64."""
        if self._ids is not None:
            return self._ids
        bits = self.bits
        places = np.flatnonzero(bits)  # bytes with any row: few matches need few of them unpacked
        marks = np.unpackbits(bits[places], bitorder="little").reshape(-1, 8)
        which, bit = np.nonzero(marks)
        return places[which] * 8 + bit

    @property
    def bits(self) -> NDArray[np.uint8]:
        """One bit a row, row 0 the lowest bit of byte 0, in words of 8 bytes: as faiss's IDSelectorBitmap reads."""
        if self._ids is not None:
            return _bits_of(self._ids, self.items)
        bits = _every_bit(self.items) if self._bits is None else self._bits
        if len(self._left_out):
            bits = bits & ~_bits_of(self._left_out, self.items)
        bits.flags.writeable = False
        return bits

    def parts_of(self, first: int, count: int) -> tuple[NDArray[np.uint8] | None, NDArray[np.int64]]:
        """Returns bits of some consecutive rows as `bits_of` does, and which of them the set leaves out all the same.

        Bits of None are every row. Rows count from the first one.
        """
        if self._ids is not None:
            return self.bits_of(first, count), _NONE
        start, stop = np.searchsorted(self._left_out, [first, first + count])
        bits = None if self._bits is None else _consecutive(self._bits, first, count)
        return bits, self._left_out[start:stop] - first

    def bits_of(self, first: int, count: int) -> NDArray[np.uint8]:
        """Returns the bits of some consecutive rows, the first of them the lowest bit; what follows the last is any."""
        return _consecutive(self.bits, first, count)

    def count_of(self, first: int, count: int) -> int:
        """Counts the set's rows among some consecutive rows."""
        if (first, count) == (0, self.items):
            return self.count  # of an index of one shard: counted once, not for each query
        if self._ids is not None:
            return int(np.diff(np.searchsorted(self._ids, [first, first + count]))[0])
        bits, left_out = self.parts_of(first, count)
        if bits is None:
            return count - len(left_out)
        beyond = int(bits[-1]) >> (count % 8) if count % 8 else 0
        return int(np.bitwise_count(bits).sum()) - beyond.bit_count() - len(left_out)

    def contains(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Says of each row, in any shape, whether it is in the set."""
        if self._ids is not None:
            return np.isin(rows, self._ids)
        kept = ~np.isin(rows, self._left_out)
        if self._bits is not None:
            kept &= (self._bits[rows // 8] >> (rows % 8).astype(np.uint8)) & 1 == 1
        return kept

    def mask(self) -> NDArray[np.bool_]:
        """The set as a mask: (items,), bool."""
        return np.unpackbits(self.bits, count=self.items, bitorder="little").view(np.bool_)

    def without(self, rows: NDArray[np.integer[Any]]) -> RowSet:
        """Returns the set less some rows."""
        if self._ids is not None:
            kept = self._ids[~np.isin(self._ids, rows)]
            return RowSet(items=self.items, count=len(kept), ids=kept)
        leaving = np.unique(np.asarray(rows, dtype=np.int64))
        leaving = leaving[self.contains(leaving)]
        left_out = np.sort(np.concatenate([self._left_out, leaving]))
        made = RowSet(items=self.items, count=self.count - len(leaving), bits=self._bits, left_out=left_out)
        return RowSet.of_bits(made.bits, items=self.items) if len(left_out) > self.items * _MANY_LEFT_OUT else made

    def __and__(self, other: RowSet) -> RowSet:
        return RowSet.of_bits(self.bits & other.bits, items=self.items)


def every_row(items: int) -> RowSet:
    """Returns the set of all rows; it takes no memory."""
    return RowSet(items=items, count=items)


def empty_bits(items: int) -> NDArray[np.uint8]:
    """Returns zero bits for so many rows, in whole words of 8 bytes."""
    return np.zeros(-(-items // 64) * 8, dtype=np.uint8)


def _bits_of(ids: NDArray[np.int64], items: int) -> NDArray[np.uint8]:
    mask = np.zeros(len(empty_bits(items)) * 8, dtype=np.bool_)
    mask[ids] = True
    return np.packbits(mask, bitorder="little")


def _every_bit(items: int) -> NDArray[np.uint8]:
    bits = empty_bits(items)
    bits[: items // 8] = 0xFF
    if items % 8:
        bits[items // 8] = (1 << items % 8) - 1
    return bits


def _consecutive(bits: NDArray[np.uint8], first: int, count: int) -> NDArray[np.uint8]:
    """Returns the bits of some consecutive rows, the first of them the lowest bit; what follows the last is any."""
    found = bits[first // 8 : -(-(first + count) // 8)]
    if first % 8 == 0:
        return found
    return np.packbits(np.unpackbits(found, bitorder="little")[first % 8 :], bitorder="little")
