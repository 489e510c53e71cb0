"""Inverted lists of a trained index filled from encoded parts, at the base index, in bounded memory.

faiss's own `merge_from` is not used: for fast-scan lists it leaves the padding of the last block as the heap had it, so
that two merges differ in their bytes, and its copy of whole blocks trusts a list whose length is a multiple of the
block's size in bytes (faiss 1.15.1, `BlockInvertedLists::add_entries`). Here each list gets its final length first,
which clears it, and rows are packed into their places, in row order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from index_builder.recipes.parts import CODES_FILE, map_codes, map_lists
from vitrine.errors import ContractError

_RUN_BYTES = 64 << 20  # codes of several parts are sorted by list together: fewer and longer runs


def fill_lists(index: Any, parts: Sequence[Path]) -> int:
    """Adds the rows of `parts`, numbered from 0 on, to the empty inverted lists of `index`; returns their number.

    Raises:
        ContractError: a part names a list that the index does not have, or its files disagree.
    """
    lists, packer = index.invlists, index.get_CodePacker()
    sizes = np.zeros(index.nlist, dtype=np.int64)
    for part in parts:
        sizes += _counts(part, index.nlist)
    for number in np.flatnonzero(sizes):
        lists.resize(int(number), int(sizes[number]))
    filled = np.zeros(index.nlist, dtype=np.int64)
    row = 0
    for numbers, codes in _runs(parts, code_size=index.code_size):
        order = np.argsort(numbers, kind="stable")
        present, starts = np.unique(numbers[order], return_index=True)
        for number, places in zip(present, np.split(order, starts[1:]), strict=True):
            stored = _ListView(lists, packer, int(number), size=int(sizes[number]))
            stored.write(int(filled[number]), ids=places + row, codes=codes[places])
            filled[number] += len(places)
        row += len(numbers)
    index.ntotal = row
    return row


def _counts(part: Path, nlist: int) -> NDArray[np.int64]:
    numbers = map_lists(part)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < nlist:
        raise ContractError(
            f"{part}: expected inverted lists from 0 to {nlist - 1}, found {numbers.min()} to {numbers.max()}; "
            "it was encoded by another quantizer: encode it again"
        )
    return np.bincount(numbers, minlength=nlist)


def _runs(parts: Sequence[Path], *, code_size: int) -> Iterator[tuple[NDArray[np.int32], NDArray[np.uint8]]]:
    """Yields list numbers and codes of consecutive rows, of at most one part more than `_RUN_BYTES`."""
    numbers: list[NDArray[np.int32]] = []
    codes: list[NDArray[np.uint8]] = []
    held = 0
    for part in parts:
        part_numbers, part_codes = map_lists(part), map_codes(part, CODES_FILE, width=code_size)
        if len(part_numbers) != len(part_codes):
            raise ContractError(
                f"{part}: expected one list for each of {len(part_codes)} codes, found {len(part_numbers)}; "
                "encode it again"
            )
        numbers.append(part_numbers)
        codes.append(part_codes)
        held += part_codes.nbytes
        if held >= _RUN_BYTES:
            yield np.concatenate(numbers), np.concatenate(codes)
            numbers, codes, held = [], [], 0
    if numbers:
        yield np.concatenate(numbers), np.concatenate(codes)


class _ListView:
    """The memory of one inverted list that has its final size."""

    def __init__(self, lists: Any, packer: Any, number: int, *, size: int) -> None:
        blocks = -(-size // packer.nvec)
        self._packer = packer
        self._ids = faiss.rev_swig_ptr(lists.get_ids(number), size)
        self._blocks = faiss.rev_swig_ptr(lists.get_codes(number), blocks * packer.block_size)
        self._blocks = self._blocks.reshape(blocks, packer.block_size)

    def write(self, start: int, *, ids: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        """Writes rows into places `start` and on."""
        self._ids[start : start + len(ids)] = ids
        rows_in_block = self._packer.nvec
        if rows_in_block == 1:
            self._blocks[start : start + len(codes)] = codes
            return
        first, offset = divmod(start, rows_in_block)
        touched = -(-(offset + len(codes)) // rows_in_block)
        padded = np.zeros((touched * rows_in_block, codes.shape[1]), dtype=np.uint8)
        padded[offset : offset + len(codes)] = codes
        packed = np.zeros(self._packer.block_size, dtype=np.uint8)
        for block in range(touched):
            packed[:] = 0
            rows = padded[block * rows_in_block : (block + 1) * rows_in_block]
            self._packer.pack_all(faiss.swig_ptr(rows), faiss.swig_ptr(packed))
            self._blocks[first + block] |= packed  # codes of zero pack to zeros: what stands there already stays
