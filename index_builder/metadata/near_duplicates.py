"""Near duplicates among many perceptual hashes, with a cost that grows with their number, not with its square.

For each choice of bands in which near hashes must agree (`vitrine.duplicates.hash_bands`), the hashes are sorted by
these bands' bits, and compared only with those that agree in them. More bands mean more tables, of which fewer hashes
agree by chance: at d = 3, 10 million hashes are sorted into 10 tables by 25 bits each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vitrine.duplicates.disjoint_sets import DisjointSets
from vitrine.duplicates.hash_bands import HASH_BITS, Band, agreeing_bands, hash_bands

_MOST_BANDS = 13
_SORTING = 20  # what sorting costs a hash, in comparisons
# Of the others that agree in the bands, each hash is compared with so many, the nearest in order of the remaining
# bits: pictures that all look alike, such as a shop's placeholders in a thousand sizes, cost no square of their number.
_MOST_COMPARED = 512
_SLICE_ROWS = 1 << 20  # of a sorted table at a time, so that memory is bounded


def near_components(hashes: NDArray[np.uint64], *, max_distance: int) -> NDArray[np.uint32]:
    """Returns which hashes are connected by steps of at most `max_distance` bits.

    All are found, except that of more than 512 hashes that agree in the bands of a table, the far ones of that table
    are not compared. Takes about 40 bytes of memory a hash, and some 200 for each that has a near one.

    Args:
        hashes: (n,), distinct, ascending.
        max_distance: in bits; below 12.

    Returns:
        (n,): the smallest place of each hash's component.
    """
    components = np.arange(len(hashes), dtype=np.uint32)
    if max_distance == 0 or len(hashes) < 2:
        return components
    sets: DisjointSets[int] = DisjointSets()
    for first, second in near_pairs(hashes, max_distance=max_distance):
        for edge in zip(first.tolist(), second.tolist(), strict=True):
            sets.join(*edge)
    named = sets.names()
    components[np.fromiter(named.keys(), dtype=np.int64, count=len(named))] = np.fromiter(
        named.values(), dtype=np.uint32, count=len(named)
    )
    return components


def near_pairs(
    hashes: NDArray[np.uint64], *, max_distance: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yields places of hashes that differ in at most `max_distance` bits, some pairs several times."""
    count = _best_count(len(hashes), max_distance)
    for leading in agreeing_bands(count, max_distance=max_distance):
        turned = _with_bits_first(hashes, [*leading, *(band for band in hash_bands(count) if band not in leading)])
        order = np.argsort(turned).astype(np.uint32)
        turned.sort()
        shift = np.uint64(HASH_BITS - sum(band.width for band in leading))
        yield from _pairs_in_order(turned, order, shift, max_distance)


def _pairs_in_order(
    turned: NDArray[np.uint64], order: NDArray[np.uint32], shift: np.uint64, max_distance: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    for start in range(0, len(turned), _SLICE_ROWS):
        places = np.arange(start, min(start + _SLICE_ROWS, len(turned)))
        for lag in range(1, _MOST_COMPARED + 1):
            places = places[: np.searchsorted(places, len(turned) - lag)]
            ahead = turned[places + lag]
            agree = (turned[places] ^ ahead) >> shift == 0
            places, ahead = places[agree], ahead[agree]
            if not len(places):
                break
            near = np.bitwise_count(turned[places] ^ ahead) <= max_distance
            if near.any():
                yield order[places[near]].astype(np.int64), order[places[near] + lag].astype(np.int64)


def _best_count(hashes: int, max_distance: int) -> int:
    """Returns the number of bands at which sorting the tables and comparing what agrees by chance cost least."""

    def cost(bands: int) -> float:
        agreeing = bands - max_distance
        by_chance = min(hashes / 2 ** (agreeing * HASH_BITS // bands), _MOST_COMPARED)
        return math.comb(bands, agreeing) * (_SORTING + by_chance)

    return min(range(max_distance + 1, _MOST_BANDS), key=cost)


def _with_bits_first(hashes: NDArray[np.uint64], bands: Sequence[Band]) -> NDArray[np.uint64]:
    """Returns the hashes with the bits of the bands moved to the front in that order."""
    turned = np.zeros_like(hashes)
    for band in bands:
        if band.width == HASH_BITS:
            return hashes.copy()
        bits = hashes >> np.uint64(band.start)
        bits &= np.uint64(band.mask)
        turned <<= np.uint64(band.width)
        turned |= bits
    return turned
