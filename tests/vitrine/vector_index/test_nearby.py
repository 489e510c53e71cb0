"""How far a filtered search walks: by what is let through around each query, not by the share of all rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.row_arrays.row_sets import RowSet
from vitrine.vector_index.nearby import NEARBY, alike, lies_far, nearby_shares


@given(st.lists(st.floats(1 / (NEARBY + 1), 1.0), min_size=1, max_size=50))
def test_queries_that_are_asked_together_walk_far_enough_and_at_most_twice_as_far(shares: list[float]) -> None:
    found = np.array(shares)

    groups = list(alike(found))

    assert sorted(np.concatenate([places for places, _ in groups])) == list(range(len(found)))
    for places, share in groups:
        assert np.all(share <= found[places])
        assert np.all(found[places] < 2 * share + 1e-12)


def test_the_share_is_that_of_the_rows_nearby() -> None:
    matches = RowSet.of_mask(np.arange(1_000) < 500)
    rows = np.stack([np.arange(NEARBY), 500 + np.arange(NEARBY), 484 + np.arange(NEARBY), 468 + np.arange(NEARBY)])

    shares = nearby_shares(rows, matches, overall=0.5)

    assert shares == pytest.approx([1.0, 1 / 65, 17 / 65, 33 / 65])


def test_a_few_matches_nearby_do_not_make_a_search_stop_earlier() -> None:
    matches = RowSet.of_ids(np.arange(10), items=1_000)

    [share] = nearby_shares(np.arange(NEARBY)[None, :], matches, overall=0.01)

    assert share == pytest.approx(0.01)  # 10 of 64 by chance would be too few to believe 0.16


@pytest.mark.parametrize("overall", [0.9, 0.5, 0.2, 0.1, 0.05, 0.01])
def test_a_random_filter_is_hardly_ever_taken_for_one_far_away(overall: float) -> None:
    generator = np.random.default_rng(4)
    matches = RowSet.of_mask(generator.random(20_000) < overall)

    shares = nearby_shares(generator.integers(0, 20_000, (5_000, NEARBY)), matches, overall=overall)

    assert np.mean([lies_far(share, overall=overall) for share in shares]) <= 0.05


def test_rows_that_are_left_out_by_intent_say_nothing_of_the_others() -> None:
    matches = RowSet.of_mask(np.arange(1_000) >= 100)  # the 100 around the query were answers already
    rows = np.arange(NEARBY + 100)[None, :]

    [share] = nearby_shares(rows, matches, overall=0.9, left_out=100)

    assert share == pytest.approx(1.0)


def test_rows_that_are_not_there_count_neither_way() -> None:
    rows = np.array([[0, 1, 2, 3] + [-1] * (NEARBY - 4)])

    [share] = nearby_shares(rows, RowSet.of_ids(np.arange(2), items=4), overall=0.5)

    assert share == pytest.approx(0.5)
