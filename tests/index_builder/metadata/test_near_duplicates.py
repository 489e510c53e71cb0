"""Near duplicates: what comparing every hash with every other finds, at a bounded cost."""

from __future__ import annotations

import math

import numpy as np
import pytest

from index_builder.metadata import near_duplicates
from index_builder.metadata.near_duplicates import near_components, near_pairs
from vitrine.duplicates.disjoint_sets import DisjointSets


def _hashes(count: int, *, seed: int, centers: int = 20) -> np.ndarray:
    """Hashes that lie close together around some centers, as pictures of one shop do."""
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, 1 << 63, size=centers, dtype=np.uint64)[generator.integers(0, centers, count)]
    flips = generator.random((count, 64)) < generator.choice([0.02, 0.05, 0.1, 0.3], size=(count, 1))
    return np.unique(drawn ^ np.packbits(flips, axis=1).view(np.uint64).ravel())


@pytest.mark.parametrize("max_distance", [0, 1, 3, 6])
@pytest.mark.parametrize("pretended", [1_000, 10_000_000, 10**9], ids=["few", "millions", "a billion"])
def test_components_are_those_of_comparing_every_pair(
    max_distance: int, pretended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = _hashes(600, seed=max_distance)
    best_count = near_duplicates._best_count
    monkeypatch.setattr(near_duplicates, "_best_count", lambda count, distance: best_count(pretended, distance))

    components = near_components(hashes, max_distance=max_distance)

    sets: DisjointSets[int] = DisjointSets()
    for place, one in enumerate(hashes.tolist()):
        for other in range(place + 1, len(hashes)):
            if (one ^ int(hashes[other])).bit_count() <= max_distance:
                sets.join(place, other)
    assert components.tolist() == [sets.name_of(place) for place in range(len(hashes))]


def test_hashes_that_all_look_alike_cost_no_square_of_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "_MOST_COMPARED", 8)
    alike = np.arange(4_096, dtype=np.uint64)  # they agree in all but 12 bits

    tables = math.comb(near_duplicates._best_count(len(alike), 3), 3)
    pairs = list(near_pairs(alike, max_distance=3))

    assert 0 < sum(len(first) for first, _ in pairs) <= tables * 8 * len(alike)
    assert all((np.bitwise_count(alike[first] ^ alike[second]) <= 3).all() for first, second in pairs)


def test_of_many_hashes_few_agree_by_chance_in_a_table() -> None:
    for count in (1_000, 1_000_000, 10_000_000, 100_000_000):
        bands = near_duplicates._best_count(count, 3)

        assert count / 2 ** ((bands - 3) * 64 // bands) <= 32
        assert math.comb(bands, 3) <= 20


def test_no_hash_and_one_hash_are_alone() -> None:
    assert near_components(np.empty(0, dtype=np.uint64), max_distance=3).tolist() == []
    assert near_components(np.array([5], dtype=np.uint64), max_distance=3).tolist() == [0]
