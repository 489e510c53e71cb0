"""How far a filtered search walks: by what is let through around each query, not by the share of all rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_builder.recipes import recipe_of
from vitrine.row_arrays.row_sets import RowSet, every_row
from vitrine.vector_index import VectorIndex
from vitrine.vector_index.nearby import NEARBY, alike, lies_far, nearby_shares

ITEMS, DIMENSION, QUERIES = 30_000, 64, 60
PARAMETERS = {"ef_search": 48, "nprobe": 24, "k_factor": 12}


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


@pytest.mark.parametrize("family", ["hnsw-sq8", "ivf-sq8", "ivf-rabitq"])
def test_a_filter_whose_rows_lie_far_from_the_queries_loses_little_recall(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitrine.vector_index.index._EXACT_MATCHES", 0)
    vectors, queries = _clustered()
    together = vectors @ vectors[7]  # as the rows of a category lie
    mask = together >= np.partition(together, ITEMS - ITEMS // 10)[ITEMS - ITEMS // 10]
    recipe_of(family, items=ITEMS, dimension=DIMENSION).train(vectors).build([vectors], into=tmp_path / "shard")
    index = VectorIndex.open_folders([tmp_path / "shard"], index_version=family)

    _, everywhere = index.search(queries, top_k=10, parameters=PARAMETERS)
    _, filtered = index.search(queries, top_k=10, parameters=PARAMETERS, allowed=mask)

    unfiltered_recall = _recall(everywhere, queries @ vectors.T)
    assert unfiltered_recall < 1.0
    assert mask[filtered].all()
    assert _recall(filtered, np.where(mask, queries @ vectors.T, -2.0)) >= 0.95 * unfiltered_recall


@pytest.mark.parametrize("family", ["hnsw-sq8", "ivf-sq8", "ivf-rabitq"])
@pytest.mark.parametrize("copies", [0, 500])
def test_leaving_the_nearest_rows_out_loses_little_recall(family: str, copies: int, tmp_path: Path) -> None:
    """As `dedupe` does with a shop's variants of a product (0), and with a placeholder picture of many items (500)."""
    vectors, queries = _clustered()
    generator = np.random.default_rng(6)
    queries = queries[:12]
    planted = np.repeat(queries, copies, axis=0) + 0.005 * generator.standard_normal((12 * copies, DIMENSION))
    vectors = generator.permutation(np.concatenate([vectors, _unit(planted)]))
    left_out = copies + 200  # of a cluster of 150, and of those around it
    recipe_of(family, items=ITEMS, dimension=DIMENSION).train(vectors).build([vectors], into=tmp_path / "shard")
    index = VectorIndex.open_folders([tmp_path / "shard"], index_version=family)

    modest = PARAMETERS | {"nprobe": 6}
    recalls = []
    for query in queries[:, None]:
        scores = query @ vectors.T
        nearest = np.argsort(-scores[0])[:left_out]
        allowed = every_row(len(vectors)).without(nearest)
        _, rows = index.search(query, top_k=10, parameters=modest, allowed=allowed, left_out=left_out)
        scores[0, nearest] = -2.0
        recalls.append(_recall(rows, scores))

    least = {"hnsw-sq8": 0.8, "ivf-sq8": 0.8, "ivf-rabitq": 0.55}  # 0.72, 0.40 and 0.31 by a walk that is not widened
    assert np.mean(recalls) >= least[family]


def test_shards_without_a_match_are_not_walked(tmp_path: Path) -> None:
    vectors, queries = _clustered()
    recipe = recipe_of("ivf-sq8", items=ITEMS // 2, dimension=DIMENSION)
    for number, half in enumerate(np.split(vectors, 2)):
        recipe.train(half).build([half], into=tmp_path / f"shard-{number}")
    index = VectorIndex.open_folders([tmp_path / "shard-0", tmp_path / "shard-1"], index_version="two")
    index._shards[0].search = index._shards[0].candidates = None  # type: ignore[method-assign,assignment]

    _, rows = index.search(queries, top_k=10, parameters=PARAMETERS, allowed=np.arange(ITEMS) >= ITEMS // 3 * 2)

    assert rows.min() >= ITEMS // 3 * 2


def _clustered() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    centers = generator.standard_normal((200, DIMENSION))
    vectors = _unit(centers[generator.integers(0, 200, ITEMS)] + 0.9 * generator.standard_normal((ITEMS, DIMENSION)))
    return vectors, _unit(vectors[:: ITEMS // QUERIES] + 0.05 * generator.standard_normal((QUERIES, DIMENSION)))


def _recall(rows: np.ndarray, scores: np.ndarray) -> float:
    exact = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    return float(np.mean([len(set(found) & set(right)) / 10 for found, right in zip(rows, exact, strict=True)]))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
