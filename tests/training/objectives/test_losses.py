"""The losses against a slow obvious reference, and by their properties."""

from __future__ import annotations

import math

import pytest
import torch

from training.objectives.losses import info_nce, symmetric_info_nce


def unit_vectors(n: int, *, seed: int, dimension: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(n, dimension, generator=generator, dtype=torch.float64), dim=1)


def slow_info_nce(queries: torch.Tensor, candidates: torch.Tensor, positives: torch.Tensor, scale: float) -> float:
    rows = []
    for query, positive in zip(queries, positives, strict=True):
        shares = [math.exp(scale * float(query @ candidate)) for candidate in candidates]
        logs = [-math.log(shares[column] / sum(shares)) for column in range(len(candidates)) if positive[column]]
        if logs:
            rows.append(sum(logs) / len(logs))
    return sum(rows) / len(rows)


def test_info_nce_is_the_slow_formula() -> None:
    queries, candidates = unit_vectors(6, seed=0), unit_vectors(9, seed=1)
    positives = torch.rand(6, 9, generator=torch.Generator().manual_seed(2)) < 0.3
    positives[2] = False

    found = info_nce(queries, candidates, positives=positives, scale=7.0)

    assert float(found) == pytest.approx(slow_info_nce(queries, candidates, positives, 7.0))


def test_one_positive_each_is_the_cross_entropy_of_clip() -> None:
    first, second = unit_vectors(5, seed=3), unit_vectors(5, seed=4)

    found = symmetric_info_nce(first, second, positives=torch.eye(5, dtype=torch.bool), scale=10.0)

    scores, labels = 10.0 * first @ second.T, torch.arange(5)
    cross = torch.nn.functional.cross_entropy
    assert float(found) == pytest.approx(float(cross(scores, labels) + cross(scores.T, labels)) / 2)


def test_no_positive_at_all_costs_nothing() -> None:
    vectors = unit_vectors(4, seed=5)

    assert float(info_nce(vectors, vectors, positives=torch.zeros(4, 4, dtype=torch.bool), scale=5.0)) == 0.0


def test_nearer_positives_cost_less() -> None:
    anchors, others = unit_vectors(6, seed=6), unit_vectors(6, seed=7)
    same = torch.eye(6, dtype=torch.bool)

    costs = [
        float(
            symmetric_info_nce(anchors, torch.nn.functional.normalize(others + pull * anchors), positives=same, scale=9)
        )
        for pull in (0.0, 0.5, 2.0, 10.0)
    ]

    assert costs == sorted(costs, reverse=True)


def test_what_is_ignored_is_neither_positive_nor_negative() -> None:
    queries, candidates = unit_vectors(4, seed=8), unit_vectors(7, seed=9)
    positives = torch.zeros(4, 7, dtype=torch.bool)
    positives[:, 0] = True
    ignored = torch.zeros(4, 7, dtype=torch.bool)
    ignored[:, 4:] = True

    found = info_nce(queries, candidates, positives=positives, scale=6.0, ignored=ignored)

    assert float(found) == pytest.approx(slow_info_nce(queries, candidates[:4], positives[:, :4], 6.0))


def test_a_positive_counts_though_it_is_ignored_among_the_negatives() -> None:
    queries, candidates = unit_vectors(4, seed=10), unit_vectors(4, seed=11)
    positives = torch.eye(4, dtype=torch.bool)

    found = info_nce(queries, candidates, positives=positives, scale=6.0, ignored=positives)

    assert float(found) == pytest.approx(slow_info_nce(queries, candidates, positives, 6.0))


def test_a_row_of_which_all_is_ignored_has_no_gradient_and_no_nan() -> None:
    queries, candidates = unit_vectors(3, seed=12).requires_grad_(), unit_vectors(3, seed=13)
    positives = torch.eye(3, dtype=torch.bool)
    positives[1] = False
    ignored = torch.zeros(3, 3, dtype=torch.bool)
    ignored[1] = True

    info_nce(queries, candidates, positives=positives, scale=6.0, ignored=ignored).backward()

    assert queries.grad is not None
    assert torch.isfinite(queries.grad).all()
    assert not queries.grad[1].any()
