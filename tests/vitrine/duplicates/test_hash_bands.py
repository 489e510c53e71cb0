"""Bands of hashes: they cover all bits, and no near pair escapes them."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.duplicates.hash_bands import Band, agreeing_bands, hash_bands

_hashes = st.integers(0, 2**64 - 1)
_near = st.tuples(_hashes, st.lists(st.integers(0, 63), max_size=6)).map(
    lambda drawn: {drawn[0], drawn[0] ^ sum(1 << bit for bit in set(drawn[1]))}
)


@pytest.mark.parametrize("count", range(1, 65))
def test_bands_cover_every_bit_once_and_are_about_equally_wide(count: int) -> None:
    bands = hash_bands(count)

    assert [bit for band in bands for bit in range(band.start, band.stop)] == list(range(64))
    assert max(band.width for band in bands) - min(band.width for band in bands) <= 1


def test_one_band_is_the_whole_hash() -> None:
    assert hash_bands(1) == [Band(0, 64)]
    assert hash_bands(1)[0].mask == 2**64 - 1


@pytest.mark.parametrize(("count", "max_distance"), [(1, 0), (4, 3), (5, 3), (10, 3), (12, 6)])
def test_there_is_a_choice_for_every_way_that_the_other_bands_may_differ(count: int, max_distance: int) -> None:
    choices = list(agreeing_bands(count, max_distance=max_distance))

    assert len(choices) == len(set(choices)) == math.comb(count, max_distance)
    assert {len(choice) for choice in choices} == {count - max_distance}


@given(
    drawn=st.lists(st.one_of(_near, _hashes.map(lambda one: {one})), max_size=12),
    max_distance=st.integers(0, 6),
    more=st.integers(0, 5),
)
def test_pairs_that_agree_in_a_choice_hold_all_that_comparing_every_pair_finds(
    drawn: list[set[int]], max_distance: int, more: int
) -> None:
    hashes = sorted(set().union(*drawn))
    expected = {pair for pair in itertools.combinations(hashes, 2) if _distance(*pair) <= max_distance}

    found = {
        pair
        for choice in agreeing_bands(max_distance + 1 + more, max_distance=max_distance)
        for pair in itertools.combinations(hashes, 2)
        if all(_bits(pair[0], band) == _bits(pair[1], band) for band in choice) and _distance(*pair) <= max_distance
    }

    assert found == expected


def _bits(value: int, band: Band) -> int:
    return value >> band.start & band.mask


def _distance(first: int, second: int) -> int:
    return (first ^ second).bit_count()
