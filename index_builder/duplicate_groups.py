"""Groups of rows: which show the same picture or a near duplicate of it, and which are of the same product."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index_builder.near_duplicates import near_components
from vitrine.item_groups import GroupKind, write_groups

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
        for name, keys in self._keys.items():
            column = table[name].combine_chunks().dictionary_encode()
            of_hex = name != "parent_id"
            distinct = np.array([_key(text, of_hex=of_hex) for text in column.dictionary.to_pylist()], dtype=np.uint64)
            places = np.asarray(column.indices.fill_null(len(distinct)))
            keys[start : start + len(column)] = np.append(distinct, np.uint64(0))[places]
            self._present[name][start : start + len(column)] = places < len(distinct)

    def write(self, folder: Path, *, max_distance: int) -> tuple[dict[GroupKind, int], list[str]]:
        """Groups all rows; returns how many groups there are of each kind, and the files' names.

        Takes about 40 bytes of memory an item.

        Args:
            max_distance: bits in which the perceptual hashes of near duplicates differ at most.
        """
        counts: dict[GroupKind, int] = {}
        names = []
        for kind, groups in (("image", self._images(max_distance)), ("product", self._smallest_rows("parent_id"))):
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
        hashes, places = np.unique(self._keys["perceptual_hash"][rows], return_inverse=True)
        components = near_components(hashes, max_distance=max_distance)[places.astype(np.uint32)]
        groups[rows] = rows[_first_of_each(components)]
        return groups

    def _smallest_rows(self, name: str) -> NDArray[np.uint32]:
        """Returns the smallest row that has the same key; a row without one is alone."""
        groups = np.arange(self._items, dtype=np.uint32)
        if self._items:
            rows = np.flatnonzero(self._present[name]).astype(np.uint32)
            groups[rows] = rows[_first_of_each(self._keys[name][rows])]
        return groups


def joined(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Returns the finest grouping that holds two others, each named by its smallest row: (items,), uint32."""
    groups = np.arange(len(one), dtype=np.uint32)
    while True:
        before = groups
        for members in (one, other):
            smallest = np.full(len(one), len(one), dtype=np.uint32)
            np.minimum.at(smallest, members, groups)
            groups = smallest[members]
        if np.array_equal(groups, before):
            return groups


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


def _key(text: str, *, of_hex: bool) -> int:
    """Returns 64 bits of a text; its first 16 digits where it is a hash itself."""
    if of_hex and len(text) in _HASH_DIGITS:
        try:
            leading = bytes.fromhex(text[:16])
        except ValueError:
            leading = b""
        if len(leading) == 8:
            return int.from_bytes(leading, "big")
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
