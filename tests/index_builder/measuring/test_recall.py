"""Exact search and recall against a slow obvious reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_builder.measuring.held_out import HeldOutQueries
from index_builder.measuring.recall import exact_scores, ground_truth, measure_recall
from index_builder.measuring.vectors import RowVectors
from index_builder.recipes import recipe_of
from vitrine.vector_index import VectorIndex

DIMENSION = 16


@settings(max_examples=30, deadline=None)
@given(items=st.integers(1, 60), top_k=st.integers(1, 12), seed=st.integers(0, 999))
def test_exact_scores_are_those_of_comparing_and_sorting_all(items: int, top_k: int, seed: int) -> None:
    vectors, queries = _vectors(items, seed=seed), _queries(items, seed=seed)

    found = exact_scores(vectors, queries, top_k=top_k)

    every = queries.embeddings @ vectors.rows(np.arange(items)).T
    for number, own in enumerate(queries.own_rows):
        if own >= 0:
            every[number, own] = -np.inf
    expected = np.full((len(queries), top_k), -np.inf)
    expected[:, : min(top_k, items)] = -np.sort(-every, axis=1)[:, :top_k]
    assert found == pytest.approx(expected, abs=1e-6)


def test_of_equal_rows_either_is_a_right_answer(tmp_path: Path) -> None:
    once = _vectors(30, seed=1).rows(np.arange(30))
    vectors = RowVectors(np.concatenate([once, once]).astype(np.float16))
    recipe_of("flat", items=60, dimension=DIMENSION).train(once).build([once, once], into=tmp_path)
    index = VectorIndex.open_folders([tmp_path], index_version="a-test")
    queries = HeldOutQueries(once[:8], np.full(8, -1, dtype=np.int64))

    shares = measure_recall(index, ground_truth(vectors, queries), vectors, parameters={})

    assert shares is not None
    assert shares.tolist() == [1.0] * 8


def test_answers_that_do_not_belong_count_by_query(tmp_path: Path) -> None:
    vectors, queries = _vectors(40, seed=2), _queries(40, seed=2)
    other = _vectors(40, seed=3).rows(np.arange(40))  # an index of other vectors finds the right rows by chance only
    recipe_of("flat", items=40, dimension=DIMENSION).train(other).build([other], into=tmp_path)
    index = VectorIndex.open_folders([tmp_path], index_version="a-test")

    shares = measure_recall(index, ground_truth(vectors, queries), vectors, parameters={})

    assert shares is not None
    assert shares.shape == (len(queries),)
    assert shares.mean() < 0.6


def _vectors(items: int, *, seed: int) -> RowVectors:
    return RowVectors(_unit(np.random.default_rng(seed).standard_normal((items, DIMENSION))).astype(np.float16))


def _queries(items: int, *, seed: int) -> HeldOutQueries:
    generator = np.random.default_rng([seed, 1])
    return HeldOutQueries(_unit(generator.standard_normal((5, DIMENSION))), generator.integers(-1, items, 5))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
