"""Indexes of every recipe as the search tier opens them: filters cost little recall, and memory is touched in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from index_builder.recipes import recipe_of
from vitrine.row_arrays.row_sets import every_row
from vitrine.vector_index import VectorIndex

ITEMS, DIMENSION, QUERIES = 30_000, 64, 60
PARAMETERS = {"ef_search": 48, "nprobe": 24, "k_factor": 12}


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


def test_a_refinement_that_does_not_fit_in_memory_is_not_read_through(tmp_path: Path) -> None:
    vectors = _unit(np.random.default_rng(3).standard_normal((2_000, 64)))
    recipe_of("ivf-rabitq", items=2_000, dimension=64).train(vectors).build([vectors], into=tmp_path)
    index = VectorIndex.open_folders([tmp_path], index_version="a-test")
    searched, refinement = ((tmp_path / name).stat().st_size for name in ("index.faiss", "refinement.faiss"))

    assert index.touch(refinement_bytes=refinement) == searched + refinement
    assert index.touch(refinement_bytes=refinement - 1) == searched


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
