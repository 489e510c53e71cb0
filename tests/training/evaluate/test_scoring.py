"""Answers of a task against an obvious sort, and the slices and exposures made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.samples import Sample
from training.evaluate import scoring
from training.evaluate.exposure import exposures
from training.evaluate.scoring import answer
from training.evaluate.tasks.slices import slices_of
from training.evaluate.tasks.task import Entry, Query, Task
from vitrine.errors import ContractError
from vitrine.retrieval.metrics import average_precision, mrr, ndcg, recall_at_k


def sample(number: int, *, parent: int, category: str = "mug", color: str = "red", day: int = 1) -> Sample:
    return Sample(
        item_id=f"i{number:03}",
        image_sha256=f"{number:064}",
        parent_id=f"p{parent}",
        split="test",
        near_duplicate_group=str(number),
        category=category,
        brand="Ostra" if number % 3 else "Fjell",
        color=color,
        created_at=f"2026-11-{day:02}T00:00:00Z",
        path=Path("unused"),
    )


SAMPLES = [
    sample(n, parent=n // 3, category="mug" if n < 30 else "hat", color="red" if n % 2 else "blue", day=1 + n % 28)
    for n in range(60)
]
TASK = Task(
    name="image_to_image",
    question="?",
    query_kind="picture",
    entry_kind="picture",
    queries=tuple(Query(s.item_id, s, frozenset([s.parent_id]), excluded=s.item_id) for s in SAMPLES[:20]),
    entries=tuple(Entry(s.item_id, s, s.parent_id) for s in SAMPLES),
)


class Fixed:
    """Scores that were drawn beforehand; coarse, so that many are equal."""

    name, description = "fixed", "drawn"

    def __init__(self, seed: int = 0) -> None:
        self.drawn = np.random.default_rng(seed).integers(0, 9, size=(20, 60)).astype(np.float32)

    def refusal(self, task: Task) -> str | None:
        return None

    def prepare(self, entries: Sequence[Entry]) -> None:
        pass

    def scores(self, queries: Sequence[Query], entries: Sequence[Entry]) -> NDArray[np.float32]:
        return self.drawn[[int(query.query_id[1:]) for query in queries]]


def test_answers_equal_an_obvious_sort() -> None:
    retriever = Fixed()

    found = answer(TASK, retriever)

    for row, query in enumerate(TASK.queries):
        order = sorted((n for n in range(60) if n != row), key=lambda n: (-retriever.drawn[row, n], n))
        relevant = {n for n in range(60) if SAMPLES[n].parent_id == query.item.parent_id and n != row}
        grades = {
            n: 3.0 if n in relevant else 2.0 if SAMPLES[n].color == query.item.color else 1.0
            for n in range(60)
            if n != row and SAMPLES[n].category == query.item.category
        }
        assert found.rankings[row].tolist() == order[:10]
        assert found.values["recall_at_10"][row] == recall_at_k(order, relevant, top_k=10)
        assert found.values["map"][row] == pytest.approx(average_precision(order, relevant))
        assert found.values["mrr"][row] == pytest.approx(mrr(order, relevant))
        assert found.values["ndcg_at_10"][row] == pytest.approx(ndcg(order, grades, top_k=10))


def test_small_batches_and_a_bounded_depth_change_no_top_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answer(TASK, Fixed())
    monkeypatch.setattr(scoring, "_CELLS_AT_ONCE", 130)
    monkeypatch.setattr(scoring, "DEPTH", 12)

    parts = answer(TASK, Fixed())

    assert np.array_equal(parts.rankings, whole.rankings)
    assert np.array_equal(parts.values["ndcg_at_10"], whole.values["ndcg_at_10"])


def test_scores_that_are_no_numbers_are_refused() -> None:
    broken = Fixed()
    broken.drawn[3, 3] = np.nan

    with pytest.raises(ContractError, match="finite scores"):
        answer(TASK, broken)


def test_slices_hold_each_query_once_a_column_and_only_with_enough_queries() -> None:
    found = slices_of(TASK.queries, SAMPLES)

    assert sorted(np.concatenate([places for (column, _), places in found.items() if column == "color"])) == list(
        range(20)
    )
    assert ("category", "hat") not in found
    assert all(len(places) >= 5 for places in found.values())
    assert ("age", "older") in found


def test_head_products_together_hold_half_of_the_catalog() -> None:
    samples = [*SAMPLES[:12], *(replace(SAMPLES[0], item_id=f"more{n}") for n in range(20))]

    found = slices_of(TASK.queries[:12], samples)

    assert ("frequency", "tail") in found
    assert ("frequency", "head") not in found  # its product asks three times only


def test_a_colour_that_is_always_shown_is_over_exposed() -> None:
    retriever = Fixed()
    retriever.drawn[:] = [10.0 if sample.color == "red" else 0.0 for sample in SAMPLES]

    found = {one.value: one for one in exposures(TASK, answer(TASK, retriever)) if one.column == "color"}

    assert (found["red"].ratio, found["blue"].ratio) == (2.0, 0.0)
    assert found["red"].top_10_share == 1.0
    assert sum(one.catalog_share for one in found.values()) == pytest.approx(1)
