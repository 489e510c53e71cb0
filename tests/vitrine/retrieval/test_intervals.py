"""Bootstrap intervals: their mean, their coverage, and that they draw groups and pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrine.errors import ContractError
from vitrine.retrieval.intervals import difference_interval, mean_interval

VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


@settings(deadline=None, max_examples=40)
@given(values=VALUES)
def test_an_interval_lies_around_its_mean_and_inside_the_values(values: list[float]) -> None:
    found = mean_interval(values, resamples=200)

    assert found.mean == pytest.approx(np.mean(values))
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert (found.queries, found.groups) == (len(values), len(values))


def test_equal_input_gives_equal_intervals_and_another_seed_another() -> None:
    values = np.random.default_rng(1).random(50)

    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values).low != mean_interval(values, seed=1).low


def test_resampling_equals_a_slow_obvious_bootstrap() -> None:
    values, groups = [0.0, 1.0, 1.0, 0.5, 0.2], ["a", "a", "b", "c", "c"]
    rng = np.random.default_rng(3)
    members = {"a": [0.0, 1.0], "b": [1.0], "c": [0.5, 0.2]}
    means = []
    for row in rng.integers(3, size=(300, 3)):
        drawn = [value for number in row for value in members["abc"[number]]]
        means.append(sum(drawn) / len(drawn))

    found = mean_interval(values, groups=groups, resamples=300, seed=3)

    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    assert found.groups == 3


def test_about_95_of_100_intervals_hold_the_true_mean() -> None:
    rng = np.random.default_rng(11)

    held = 0
    for _ in range(400):
        found = mean_interval(rng.binomial(1, 0.3, size=80).astype(float), resamples=300)
        held += found.low <= 0.3 <= found.high

    assert 0.90 <= held / 400 <= 0.99


def test_queries_of_one_product_that_fail_together_make_the_interval_wider() -> None:
    of_product = np.random.default_rng(5).random(20).round()
    values, groups = np.repeat(of_product, 8), np.repeat(np.arange(20), 8).tolist()

    alone, grouped = mean_interval(values), mean_interval(values, groups=groups)

    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    rng = np.random.default_rng(8)
    champion = rng.random(200) * 0.9
    challenger = champion + 0.05

    found = difference_interval(challenger, champion)

    assert found.low == pytest.approx(0.05)
    assert mean_interval(challenger).low < mean_interval(champion).high
    assert difference_interval(champion, challenger).mean == pytest.approx(-found.mean)


@pytest.mark.parametrize(
    ("values", "groups", "said"),
    [([], None, "row of values"), ([float("nan")], None, "finite"), ([1.0, 0.0], ["a"], "one group for each of 2")],
)
def test_what_has_no_mean_is_refused(values: list[float], groups: list[str] | None, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        mean_interval(values, groups=groups)


def test_two_that_answered_other_queries_are_not_compared() -> None:
    with pytest.raises(ContractError, match="same queries"):
        difference_interval([1.0, 0.0], [1.0])
