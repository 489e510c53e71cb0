"""Retrieval metrics against slow obvious references, hand-worked values and their properties."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.errors import ContractError
from vitrine.retrieval.metrics import (
    average_precision,
    capped_recall_at_k,
    mrr,
    ndcg,
    precision_at_k,
    r_precision,
    recall_at_k,
)

RANKINGS = st.lists(st.integers(0, 12), max_size=12, unique=True)
RELEVANT = st.sets(st.integers(0, 12), min_size=1)
TOP_K = st.integers(1, 14)


@given(ranking=RANKINGS, relevant=RELEVANT, top_k=TOP_K)
def test_recall_and_precision_count_one_place_at_a_time(ranking: list[int], relevant: set[int], top_k: int) -> None:
    hits = 0
    for place in range(top_k):
        if place < len(ranking) and ranking[place] in relevant:
            hits += 1

    assert recall_at_k(ranking, relevant, top_k=top_k) == hits / len(relevant)
    assert capped_recall_at_k(ranking, relevant, top_k=top_k) == hits / min(top_k, len(relevant))
    assert precision_at_k(ranking, relevant, top_k=top_k) == hits / top_k


@given(ranking=RANKINGS, relevant=RELEVANT)
def test_mrr_and_average_precision_equal_their_definitions(ranking: list[int], relevant: set[int]) -> None:
    ranks = [place for place in range(1, len(ranking) + 1) if ranking[place - 1] in relevant]
    precisions = [precision_at_k(ranking, relevant, top_k=rank) for rank in ranks]

    assert mrr(ranking, relevant) == (1 / ranks[0] if ranks else 0)
    assert average_precision(ranking, relevant) == pytest.approx(sum(precisions) / len(relevant))


@given(ranking=RANKINGS, grades=st.dictionaries(st.integers(0, 6), st.integers(0, 5), min_size=1, max_size=5))
def test_ndcg_is_the_share_of_the_best_of_all_orders(ranking: list[int], grades: dict[int, int]) -> None:
    if not any(grades.values()):
        return

    def gain(order: tuple[int, ...] | list[int]) -> float:
        return sum(grades.get(found, 0) / math.log2(place + 2) for place, found in enumerate(order))

    best = max(gain(order) for order in itertools.permutations(grades))

    assert ndcg(ranking, grades) == pytest.approx(gain(ranking) / best)
    assert 0 <= ndcg(ranking, grades) <= 1 + 1e-12


def test_the_hand_worked_ndcg() -> None:
    grades = dict(enumerate([0, 5, 1, 4, 2]))

    assert ndcg([0, 1, 2, 3, 4], grades) == pytest.approx(0.6869, abs=5e-5)
    assert ndcg([1, 3, 4, 2, 0], grades) == pytest.approx(1.0)
    assert ndcg([0], grades, top_k=1) == 0.0


@given(ranking=RANKINGS, relevant=RELEVANT, top_k=TOP_K)
def test_moving_a_right_answer_up_never_costs(ranking: list[int], relevant: set[int], top_k: int) -> None:
    for place in range(1, len(ranking)):
        if ranking[place] not in relevant or ranking[place - 1] in relevant:
            continue
        better = [*ranking]
        better[place - 1], better[place] = better[place], better[place - 1]
        grades = dict.fromkeys(relevant, 1.0)

        assert recall_at_k(better, relevant, top_k=top_k) >= recall_at_k(ranking, relevant, top_k=top_k)
        assert average_precision(better, relevant) >= average_precision(ranking, relevant)
        assert mrr(better, relevant) >= mrr(ranking, relevant)
        assert ndcg(better, grades) >= ndcg(ranking, grades)


def test_an_answer_that_comes_twice_counts_once() -> None:
    assert recall_at_k(["a", "a", "b"], {"a", "b"}, top_k=2) == 1.0
    assert average_precision(["a", "a", "b"], {"a", "b"}) == 1.0


def test_what_says_nothing_is_refused() -> None:
    with pytest.raises(ContractError, match="relevant"):
        recall_at_k(["a"], set(), top_k=1)
    with pytest.raises(ContractError, match="grade"):
        ndcg(["a"], {"a": 0.0})
    with pytest.raises(ContractError, match="grades of 0 or more"):
        ndcg(["a"], {"a": -1.0})
    with pytest.raises(ContractError, match="k of 1 or more"):
        precision_at_k(["a"], {"a"}, top_k=0)


def test_the_gain_of_web_search_would_give_another_ndcg() -> None:
    gains = {place: 2.0**grade - 1 for place, grade in enumerate([0, 5, 1, 4, 2])}

    assert ndcg([0, 1, 2, 3, 4], gains) == pytest.approx(0.6529, abs=5e-5)


@pytest.mark.parametrize("seed", range(4))
def test_every_metric_agrees_with_ir_measures(seed: int) -> None:
    import ir_measures
    import numpy as np

    rng = np.random.default_rng(seed)
    grades = {f"d{number:02}": int(grade) for number, grade in enumerate(rng.integers(0, 4, size=30))}
    ranking = [str(name) for name in rng.permutation(list(grades))[:20]]
    relevant = {name for name, grade in grades.items() if grade > 0}
    judged = [ir_measures.Qrel("q", name, grade) for name, grade in grades.items()]
    run = [ir_measures.ScoredDoc("q", name, 1.0 - place / 100) for place, name in enumerate(ranking)]
    own = {
        "R@10": recall_at_k(ranking, relevant, top_k=10),
        "P@10": precision_at_k(ranking, relevant, top_k=10),
        "Rprec": r_precision(ranking, relevant),
        "RR": mrr(ranking, relevant),
        "AP": average_precision(ranking, relevant),
        "nDCG@10": ndcg(ranking, grades, top_k=10),
        "nDCG": ndcg(ranking, grades),
    }

    theirs = ir_measures.calc_aggregate([ir_measures.parse_measure(name) for name in own], judged, run)

    assert {str(measure): value for measure, value in theirs.items()} == pytest.approx(own, abs=1e-6)


def test_ir_measures_gives_the_hand_worked_ndcg_too() -> None:
    import ir_measures

    judged = [ir_measures.Qrel("q", f"d{place}", grade) for place, grade in enumerate([0, 5, 1, 4, 2])]
    run = [ir_measures.ScoredDoc("q", f"d{place}", 1.0 - place / 10) for place in range(5)]

    found = ir_measures.calc_aggregate([ir_measures.nDCG], judged, run)[ir_measures.nDCG]

    assert found == pytest.approx(0.6869, abs=5e-5)
