"""Metrics of ranked retrieval, for one query and as means over queries.

A ranking is the ids that came back, best first; relevant ids are those that should have. Duplicates in a ranking count
once, at their first place. All metrics lie in [0, 1] and grow with quality.

Formulas: C. D. Manning, P. Raghavan, H. Schütze, "Introduction to Information Retrieval", 2008, sections 8.3 and 8.4;
nDCG: K. Järvelin, J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002, whose gain
is the grade itself, with the discount log2(i + 1) that has become usual (Y. Wang et al., "A theoretical analysis of
NDCG ranking measures", COLT 2013); scikit-learn computes the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

from vitrine.errors import ContractError

Id = TypeVar("Id", bound=Hashable)


def recall_at_k(ranking: Sequence[Id], relevant: Collection[Id], *, top_k: int) -> float:
    """Returns the share of the relevant ids that stand among the first k.

    Where more than k ids are relevant it stays below 1, since k is all that fits.

    Raises:
        ContractError: nothing is relevant, so the metric says nothing, or k is below 1.
    """
    wanted = _relevant(relevant)
    return len(wanted.intersection(_first(ranking, top_k))) / len(wanted)


def capped_recall_at_k(ranking: Sequence[Id], relevant: Collection[Id], *, top_k: int) -> float:
    """Returns the share of the relevant ids that stand among the first k, of at most k of them.

    Where more than k ids are relevant it still reaches 1, since no more is asked for than fits.

    Raises:
        ContractError: nothing is relevant, or k is below 1.
    """
    wanted = _relevant(relevant)
    return len(wanted.intersection(_first(ranking, top_k))) / min(top_k, len(wanted))


def precision_at_k(ranking: Sequence[Id], relevant: Collection[Id], *, top_k: int) -> float:
    """Returns the share of the first k places that hold a relevant id; places left empty count as wrong.

    Raises:
        ContractError: k is below 1.
    """
    return len(set(relevant).intersection(_first(ranking, top_k))) / top_k


def r_precision(ranking: Sequence[Id], relevant: Collection[Id]) -> float:
    """Returns the precision at as many places as there are relevant ids.

    Raises:
        ContractError: nothing is relevant.
    """
    return precision_at_k(ranking, relevant, top_k=len(_relevant(relevant)))


def mrr(ranking: Sequence[Id], relevant: Collection[Id]) -> float:
    """Returns the reciprocal rank of the first relevant id, 0 when none came back; its mean over queries is the MRR.

    Raises:
        ContractError: nothing is relevant.
    """
    wanted = _relevant(relevant)
    places = (place for place, found in enumerate(_distinct(ranking), start=1) if found in wanted)
    first = next(places, None)
    return 0.0 if first is None else 1.0 / first


def average_precision(ranking: Sequence[Id], relevant: Collection[Id]) -> float:
    """Returns the mean, over the relevant ids, of the precision at each one's place; one that is missing adds 0.

    Raises:
        ContractError: nothing is relevant.
    """
    wanted = _relevant(relevant)
    hits, total = 0, 0.0
    for place, found in enumerate(_distinct(ranking), start=1):
        if found in wanted:
            hits += 1
            total += hits / place
    return total / len(wanted)


def ndcg(ranking: Sequence[Id], grades: Mapping[Id, float], *, top_k: int | None = None) -> float:
    """Returns the normalised discounted cumulative gain of the first k places.

    DCG = sum over places i = 1, 2, … of grade_i / log2(i + 1), divided by the DCG of the grades in descending order;
    ids without a grade have grade 0. Grades 0, 5, 1, 4, 2 in that order give 0.6869 under this definition: the gain is
    the grade, the discount log2(i + 1), the ideal all five grades in order 5, 4, 2, 1, 0. trec_eval agrees. With the
    gain 2^grade - 1 of web search (C. Burges et al., ICML 2005) the same ranking has 0.6529.

    Raises:
        ContractError: no id has a grade above 0, a grade is negative, or k is below 1.
    """
    if any(grade < 0 for grade in grades.values()):
        raise ContractError(f"ndcg: expected grades of 0 or more, found {min(grades.values())}")
    top_k = top_k if top_k is not None else max(len(ranking), len(grades), 1)
    ideal = _dcg(sorted(grades.values(), reverse=True)[:top_k])
    if ideal == 0:
        raise ContractError("ndcg: expected some id of a grade above 0, found none; leave such a query out of the mean")
    return _dcg([grades.get(found, 0.0) for found in _first(ranking, top_k)]) / ideal


def _dcg(grades: Sequence[float]) -> float:
    return math.fsum(grade / math.log2(place + 1) for place, grade in enumerate(grades, start=1))


def _first(ranking: Sequence[Id], top_k: int) -> list[Id]:
    if top_k < 1:
        raise ContractError(f"expected k of 1 or more, found {top_k}")
    return _distinct(ranking)[:top_k]


def _distinct(ranking: Sequence[Id]) -> list[Id]:
    return list(dict.fromkeys(ranking))


def _relevant(relevant: Collection[Id]) -> set[Id]:
    wanted = set(relevant)
    if not wanted:
        raise ContractError("expected at least one relevant id, found none; leave such a query out of the mean")
    return wanted
