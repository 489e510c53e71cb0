"""The visual losses against slow obvious references in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training.objectives.objective import Embeddings, Relations, losses_of, self_supervised_loss, triplet_loss
from training.options import TrainingOptions

MARGIN = 0.2


def unit_vectors(n: int, *, seed: int, dimension: int = 4) -> torch.Tensor:
    vectors = np.random.default_rng(seed).normal(size=(n, dimension))
    return torch.from_numpy(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).float()


def relations_of(labels: list[int], *, weights: np.ndarray | None = None, texts: bool = True) -> Relations:
    """Rows of one label are positives, unless `weights` say otherwise."""
    known = torch.tensor(labels)
    alike = known[:, None] == known[None, :]
    positive_weights = (alike & ~torch.eye(len(labels), dtype=torch.bool)).float()
    return Relations(
        positive_weights=positive_weights if weights is None else torch.from_numpy(weights).float(),
        labels=known,
        described=alike & texts,
        unclear=alike,
        untold=torch.full((len(labels),), not texts),
    )


def slow_triplets(scores: np.ndarray, labels: list[int], mining: str) -> list[tuple[int, int, int]]:
    rows = range(len(labels))
    found: list[tuple[int, int, int]] = []
    for anchor in rows:
        positives = [row for row in rows if row != anchor and labels[row] == labels[anchor]]
        negatives = [row for row in rows if labels[row] != labels[anchor]]
        if mining in ("semihard", "both"):
            for positive in positives:
                for negative in negatives:
                    if 0 < scores[anchor, positive] - scores[anchor, negative] <= MARGIN:
                        found.append((anchor, positive, negative))
        if mining in ("hard", "both") and positives and negatives:
            farthest = min(positives, key=lambda row: scores[anchor, row])
            nearest = max(negatives, key=lambda row: scores[anchor, row])
            found.append((anchor, farthest, nearest))
    return found


def slow_triplet_loss(vectors: np.ndarray, labels: list[int], weights: np.ndarray, mining: str) -> float:
    scores = vectors @ vectors.T
    total = count = 0.0
    for anchor, positive, negative in slow_triplets(scores, labels, mining):
        cost = scores[anchor, negative] - scores[anchor, positive] + MARGIN
        if cost > 0:
            total += weights[anchor, positive] * cost
            count += weights[anchor, positive]
    return total / count if count else 0.0


@pytest.mark.parametrize("mining", ["semihard", "hard", "both"])
@pytest.mark.parametrize("seed", range(4))
def test_the_triplet_loss_is_the_slow_formula(mining: str, seed: int) -> None:
    vectors, labels = unit_vectors(9, seed=seed), [0, 0, 0, 1, 1, 2, 2, 2, 3]
    relations = relations_of(labels)

    found = triplet_loss(vectors, relations, margin=MARGIN, mining=mining)

    slow = slow_triplet_loss(vectors.double().numpy(), labels, relations.positive_weights.numpy(), mining)
    assert float(found) == pytest.approx(slow, abs=1e-5)


@pytest.mark.parametrize("mining", ["semihard", "hard", "both"])
def test_triplets_count_by_the_weight_of_their_pair_and_unclear_pairs_do_not(mining: str) -> None:
    vectors, labels = unit_vectors(8, seed=5), [0, 0, 0, 0, 1, 1, 2, 2]
    weights = relations_of(labels).positive_weights.numpy().copy()
    weights[0, 1] = weights[1, 0] = 0.25
    weights[2, 3] = weights[3, 2] = 0.0  # of one label through others, and not positives of each other

    found = triplet_loss(vectors, relations_of(labels, weights=weights), margin=MARGIN, mining=mining)

    slow = slow_triplet_loss(vectors.double().numpy(), labels, weights, mining)
    assert float(found) == pytest.approx(slow, abs=1e-5)


def test_a_batch_without_triplets_costs_nothing_and_still_has_a_gradient() -> None:
    vectors = unit_vectors(4, seed=6).requires_grad_()

    loss = triplet_loss(vectors, relations_of([0, 1, 2, 3]), margin=MARGIN, mining="both")
    loss.backward()

    assert float(loss.detach()) == 0.0
    assert vectors.grad is not None
    assert not vectors.grad.any()


def test_the_self_supervised_loss_is_the_slow_formula() -> None:
    first, second, labels = unit_vectors(6, seed=7), unit_vectors(6, seed=8), [0, 0, 1, 2, 2, 3]

    found = self_supervised_loss(first, second, relations_of(labels), temperature=0.5)

    one, other = first.double().numpy(), second.double().numpy()
    costs = []
    for queries, candidates in ((one, other), (other, one)):
        for row in range(6):
            counted = [column for column in range(6) if column == row or labels[column] != labels[row]]
            shares = {column: math.exp(queries[row] @ candidates[column] / 0.5) for column in counted}
            costs.append(-math.log(shares[row] / sum(shares.values())))
    assert float(found) == pytest.approx(sum(costs) / len(costs), abs=1e-5)


def test_the_sum_is_the_weighted_sum_of_its_parts() -> None:
    images, texts, again = (unit_vectors(6, seed=seed) for seed in (9, 10, 11))
    options = TrainingOptions(triplet_weight=0.5, infonce_weight=2.0, self_supervised_weight=0.25)
    embeddings = Embeddings(images=images, visual=images, texts=texts, altered_again=again, scale=torch.tensor(5.0))

    found = losses_of(embeddings, relations_of([0, 0, 1, 1, 2, 2]), options=options)

    assert found.triplet is not None
    assert found.infonce is not None
    assert found.self_supervised is not None
    expected = 0.5 * found.triplet + 2.0 * found.infonce + 0.25 * found.self_supervised
    torch.testing.assert_close(found.total, expected)


def test_a_batch_that_nobody_describes_has_no_text_loss() -> None:
    images, texts = unit_vectors(4, seed=12), unit_vectors(4, seed=13)
    embeddings = Embeddings(images=images, visual=images, texts=texts, altered_again=None, scale=torch.tensor(5.0))

    found = losses_of(embeddings, relations_of([0, 0, 1, 1], texts=False), options=TrainingOptions(objective="infonce"))

    assert float(found.total) == 0.0
