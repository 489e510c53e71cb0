"""The made vectors that benchmarks search: what they are said to be."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.vector_sets import VectorSet, intrinsic_dimension


def test_a_larger_set_begins_with_the_rows_of_a_smaller_one() -> None:
    small, large = (np.concatenate(list(VectorSet(rows, 64).blocks())) for rows in (300, 20_000))

    assert len(large) == 20_000
    assert np.array_equal(large[:300], small)


def test_vectors_are_of_the_intrinsic_dimension_that_image_embeddings_have() -> None:
    vectors = np.concatenate(list(VectorSet(30_000, 512).batches()))

    assert 25 <= intrinsic_dimension(vectors, vectors[:300]) <= 60  # rising with the rows: 28 at 100,000, 31 at 400,000


@pytest.mark.parametrize("dimension", [2, 5])
def test_the_estimate_finds_the_dimension_of_a_plane(dimension: int) -> None:
    generator = np.random.default_rng(3)
    plane = generator.random((20_000, dimension)) @ np.linalg.qr(generator.standard_normal((40, dimension)))[0].T
    vectors = plane.astype(np.float32)

    assert intrinsic_dimension(vectors, vectors[:1_000]) == pytest.approx(dimension, rel=0.1)


def test_texts_lie_off_the_distribution_of_the_pictures() -> None:
    made = VectorSet(20_000, 512)
    vectors = np.concatenate(list(made.batches()))

    nearest = [(asked @ vectors.T).max(axis=1).mean() for asked in (made.image_queries(50), made.text_queries(50))]

    assert nearest[0] > nearest[1] + 0.1
