"""Bands of 64-bit hashes: hashes that differ in few bits agree in whole bands, so only those that do are compared.

Two hashes that differ in at most d bits differ in at most d bands, whatever the bands are, and so agree in at least
b - d of b bands (pigeonhole; Manku et al., Detecting near-duplicates for web crawling, WWW 2007, section 3). With
d + 1 bands that is one band; with more there are more choices to look through, in each of which fewer agree by chance.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

HASH_BITS = 64


class Band(NamedTuple):
    """The bits from `start` to before `stop`, counted from the lowest."""

    start: int
    stop: int

    @property
    def width(self) -> int:
        """In bits."""
        return self.stop - self.start

    @property
    def mask(self) -> int:
        """Keeps the band's bits of a hash that was shifted right by `start`."""
        return (1 << self.width) - 1


def hash_bands(count: int) -> list[Band]:
    """Cuts a hash into bands that are equally wide, or differ by a bit; the lowest first."""
    bounds = [band * HASH_BITS // count for band in range(count + 1)]
    return list(itertools.starmap(Band, itertools.pairwise(bounds)))


def agreeing_bands(count: int, *, max_distance: int) -> Iterator[tuple[Band, ...]]:
    """Yields choices of `count` bands: hashes that differ in at most `max_distance` bits agree in all of one choice.

    Args:
        count: of the bands; more than `max_distance`.
        max_distance: in bits.
    """
    return itertools.combinations(hash_bands(count), count - max_distance)
