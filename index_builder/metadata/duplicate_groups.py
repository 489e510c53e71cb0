"""Groups of rows: which show the same picture or a near duplicate of it, and which are of the same product."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index_builder.metadata.near_duplicates import near_components
from vitrine.item_table.groups import GroupKind, write_groups

# Read of a head's rows, each as 64 bits.
GROUPED_COLUMNS = ("embedding_key", "image_sha256", "perceptual_hash", "parent_id")
_HASH_DIGITS = (16, 64)  # of a perceptual hash, of a SHA-256


class GroupKeys:
    """What rows are grouped by, as 64 bits a row and column, in files that are mapped while they are needed.

    Hashes are cut to 64 bits: among 100 million rows two pictures that differ count as one with odds of 3 in 10,000.
    """

    def __init__(self, folder: Path, *, items: int) -> None:
        folder.mkdir(parents=True)
        self._keys: dict[str, NDArray[np.uint64]] = {}
        self._present: dict[str, NDArray[np.bool_]] = {}
        for name in GROUPED_COLUMNS if items else ():
            self._keys[name] = np.memmap(folder / name, mode="w+", dtype=np.uint64, shape=(items,))
            self._present[name] = np.memmap(folder / f"{name}.present", mode="w+", dtype=np.bool_, shape=(items,))
        self._items = items

    def see(self, start: int, table: pa.Table) -> None:
        """Takes the rows from `start` on."""
        rows = slice(start, start + table.num_rows)
        for name, keys in self._keys.items():
            if name == "image_sha256" and table[name].equals(table["embedding_key"]):
                keys[rows] = self._keys["embedding_key"][rows]
                self._present[name][rows] = self._present["embedding_key"][rows]
                continue
            column = table[name].combine_chunks()
            # A blank key is none: manifests of before have blank `parent_id`s, which are no product together.
            present = pc.fill_null(pc.not_equal(column, ""), False)
            texts = column.filter(present)
            mask = present.to_numpy(zero_copy_only=False)
            self._present[name][rows] = mask
            keys[rows][mask] = text_keys(texts) if name == "parent_id" else hash_keys(texts)

    def write(self, folder: Path, *, max_distance: int) -> tuple[dict[GroupKind, int], list[str]]:
        """Groups all rows; returns how many groups there are of each kind, and the files' names.

        Takes about 80 bytes of memory an item.

        Args:
            max_distance: bits in which the perceptual hashes of near duplicates differ at most.
        """
        counts: dict[GroupKind, int] = {}
        names = []
        for kind in get_args(GroupKind):
            groups = self._images(max_distance) if kind == "image" else self._smallest_rows("parent_id")
            counts[kind] = int(np.count_nonzero(groups == np.arange(self._items, dtype=np.uint32)))
            names += write_groups(folder, kind, groups)
        return counts, names

    def _images(self, max_distance: int) -> NDArray[np.uint32]:
        groups = self._smallest_rows("embedding_key")
        for other in (self._smallest_rows("image_sha256"), self._looks(max_distance)):
            groups = joined(groups, other)
        return groups

    def _looks(self, max_distance: int) -> NDArray[np.uint32]:
        """Returns the smallest row of what is connected by near duplicates."""
        groups = np.arange(self._items, dtype=np.uint32)
        if not self._items:
            return groups
        rows = np.flatnonzero(self._present["perceptual_hash"]).astype(np.uint32)
        keys = self._keys["perceptual_hash"][rows]
        hashes = np.unique(keys)
        components = near_components(hashes, max_distance=max_distance)
        groups[rows] = rows[_first_of_each(components[np.searchsorted(hashes, keys)])]
        return groups

    def _smallest_rows(self, name: str) -> NDArray[np.uint32]:
        """Returns the smallest row that has the same key; a row without one is alone."""
        groups = np.arange(self._items, dtype=np.uint32)
        if self._items:
            rows = np.flatnonzero(self._present[name]).astype(np.uint32)
            groups[rows] = rows[_first_of_each(self._keys[name][rows])]
        return groups


def joined(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Returns the finest grouping that holds two others; all are named by smallest rows: (items,), uint32.

    Of two names that a row joins, the larger points to the smaller, and pointers are followed to their ends: so a
    chain of groups takes as many rounds as its length has digits, not as it has rows (Shiloach and Vishkin, 1982).
    """
    names = np.arange(len(one), dtype=np.uint32)
    while True:
        left, right = names[one], names[other]
        if np.array_equal(left, right):
            return left
        np.minimum.at(names, np.maximum(left, right), np.minimum(left, right))
        while not np.array_equal(names, ends := names[names]):
            names = ends


def _first_of_each(keys: NDArray[np.unsignedinteger]) -> NDArray[np.uint32]:
    """Returns the first place of each key: (n,)."""
    if not len(keys):
        return np.empty(0, dtype=np.uint32)
    order = np.argsort(keys, kind="stable").astype(np.uint32)
    ordered = keys[order]
    is_first = np.r_[True, ordered[1:] != ordered[:-1]]
    firsts = np.empty(len(keys), dtype=np.uint32)
    firsts[order] = order[is_first][np.cumsum(is_first, dtype=np.uint32) - 1]
    return firsts


def hash_keys(texts: pa.StringArray) -> NDArray[np.uint64]:
    """Returns the first 64 bits of hexadecimal hashes, or 64 bits of a hash of texts that are none: (n,)."""
    _, ends, data = texts.buffers()
    offsets = np.frombuffer(ends, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1] if ends else np.zeros(1)
    widths = np.diff(offsets)
    if not len(texts) or widths[0] not in _HASH_DIGITS or (widths != widths[0]).any():
        return text_keys(texts)
    digits = np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]].reshape(len(texts), widths[0])[:, :16]
    values = _DIGIT_VALUES[digits]
    if (values > 15).any():
        return text_keys(texts)
    return (values[:, ::2] << 4 | values[:, 1::2]).view(">u8").ravel().astype(np.uint64)


def text_keys(texts: pa.StringArray) -> NDArray[np.uint64]:
    """Returns 64 bits of a hash of each text: (n,)."""
    encoded = texts.dictionary_encode()
    distinct = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in encoded.dictionary.to_pylist()]
    return np.frombuffer(b"".join(distinct), dtype="<u8")[encoded.indices.to_numpy()].astype(np.uint64)


def _digit_values() -> NDArray[np.uint8]:
    values = np.full(256, 255, dtype=np.uint8)
    for value, digit in enumerate(b"0123456789abcdef"):
        values[digit] = value
    return values


_DIGIT_VALUES = _digit_values()
