"""The sample that a quantizer is trained on: over everything, in proportion, the same each time."""

from __future__ import annotations

import numpy as np

from index_builder.builds.rows.sampling import stratified_rows


def test_every_unit_is_in_the_sample_in_proportion_to_its_rows() -> None:
    units = np.repeat(np.arange(60), np.tile([100, 300, 1000], 20))

    sampled = units[stratified_rows(len(units), 2_800, seed=3)]

    shares = np.bincount(sampled, minlength=60) / np.bincount(units)
    assert np.abs(np.bincount(sampled, minlength=60) - np.bincount(units) / 10).max() <= 1
    assert 0.09 < shares.min() <= shares.max() < 0.111


def test_rows_are_distinct_ascending_and_drawn_by_the_seed() -> None:
    first, same, other = (stratified_rows(10_007, 500, seed=seed) for seed in (1, 1, 2))

    assert len(np.unique(first)) == 500
    assert (np.diff(first) > 0).all()
    assert first[0] >= 0 and first[-1] < 10_007
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_any_row_of_a_run_can_be_drawn() -> None:
    drawn = np.concatenate([stratified_rows(30, 3, seed=seed) for seed in range(400)])

    assert set(drawn.tolist()) == set(range(30))


def test_a_sample_of_more_than_there_is_is_everything() -> None:
    assert stratified_rows(7, 100, seed=1).tolist() == list(range(7))
