"""Rows that hold other items' vectors are noticed, and codes that are only coarse are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_builder.builds.round_trip import wrong_rows
from index_builder.recipes import recipe_of
from vitrine.vector_index import VectorIndex

ITEMS, DIMENSION, SAMPLED = 3_000, 64, 200
COARSE_KEYS = ["IVF16,PQ16", "HNSW16,PQ16", "IVF16,RaBitQ", "IVF16,PQ2x4"]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Unclustered but for a tenth that are variants of one thing: (items, dimension), unit L2 norm."""
    generator = np.random.default_rng(1)
    drawn = generator.standard_normal((ITEMS, DIMENSION))
    drawn[::8] = drawn[0] + 0.1 * generator.standard_normal((len(drawn[::8]), DIMENSION))
    return _unit(drawn)


@pytest.fixture(scope="module", params=[*COARSE_KEYS, "IVF16,SQ8", "Flat"])
def stored(request: pytest.FixtureRequest, vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """All rows as an index of this key gives them back."""
    folder: Path = tmp_path_factory.mktemp("index")
    recipe = recipe_of(request.param, items=ITEMS, dimension=DIMENSION)
    recipe.train(vectors).build([vectors], into=folder)
    index = VectorIndex.open_folders([folder], index_version=request.param)
    return np.stack([index.reconstruct(row) for row in range(ITEMS)])


def test_honest_codes_are_right_however_coarse(stored: np.ndarray, vectors: np.ndarray) -> None:
    for seed in range(10):
        sample = _sample(seed)

        assert len(wrong_rows(stored[sample], vectors[sample], fine=False)) == 0


def test_a_tenth_of_the_rows_in_the_wrong_place_is_noticed(stored: np.ndarray, vectors: np.ndarray) -> None:
    for seed in range(10):
        sample = _sample(seed)
        places = sample.copy()
        moved = np.random.default_rng(seed).choice(SAMPLED, size=SAMPLED // 10, replace=False)
        places[moved] = (places[moved] + ITEMS // 3) % ITEMS

        wrong = wrong_rows(stored[places], vectors[sample], fine=False)

        assert len(wrong) > 0
        assert np.isin(wrong, moved).all()


def test_rows_out_of_any_order_are_noticed(stored: np.ndarray, vectors: np.ndarray) -> None:
    for seed in range(10):
        sample = _sample(seed)

        wrong = wrong_rows(stored[np.random.default_rng(seed).permutation(sample)], vectors[sample], fine=False)

        assert len(wrong) > SAMPLED // 5


def test_one_row_that_is_far_from_its_vector_is_wrong_where_codes_are_fine(vectors: np.ndarray) -> None:
    sample = _sample(0)
    held = vectors[sample].copy()
    held[17] = _unit(held[17:18] + 1.2 * _unit(np.random.default_rng(0).standard_normal((1, DIMENSION))))

    assert wrong_rows(held, vectors[sample], fine=True).tolist() == [17]
    assert wrong_rows(held, vectors[sample], fine=False).tolist() == []


@given(rows=st.integers(1, 60), pictures=st.integers(1, 60), seed=st.integers(0, 1_000))
def test_rows_that_hold_their_own_vector_are_right_whichever_others_equal_it(
    rows: int, pictures: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    own = _unit(generator.standard_normal((pictures, DIMENSION)))[generator.integers(0, pictures, rows)]

    assert wrong_rows(own, own, fine=True).tolist() == []


def _sample(seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).choice(ITEMS, size=SAMPLED, replace=False))


def _unit(drawn: np.ndarray) -> np.ndarray:
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
