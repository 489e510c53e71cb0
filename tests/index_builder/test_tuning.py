"""Tuning: the cheapest setting that reaches the target, images and texts apart, and the curve of what was tried."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index_builder.curve_plot import draw_curve
from index_builder.held_out import HeldOutQueries
from index_builder.recipes import recipe_of
from index_builder.tuning import TunedSearch, TuningGoal, tune_search
from index_builder.vectors import RowVectors
from vitrine.errors import GateError
from vitrine.vector_index import VectorIndex

ITEMS, DIMENSION = 4_000, 64


@pytest.fixture(scope="module")
def vectors() -> RowVectors:
    generator = np.random.default_rng(4)
    centers = generator.standard_normal((60, DIMENSION))
    drawn = centers[generator.integers(0, 60, ITEMS)] + 0.8 * generator.standard_normal((ITEMS, DIMENSION))
    return RowVectors(_unit(drawn).astype(np.float16))


@pytest.mark.parametrize("family", ["hnsw-sq8", "ivf-sq8", "ivf-rabitq"])
def test_the_cheapest_setting_that_is_enough_is_taken(family: str, vectors: RowVectors, tmp_path: Path) -> None:
    index = _index(family, vectors, tmp_path)

    tuned = _tune(index, vectors, target=0.9)

    enough = [point for point in tuned.curve if point.recall.worst >= 0.9]
    assert tuned.recall.worst >= 0.9
    assert tuned.recall.image is not None
    assert tuned.recall.text is not None
    assert tuned.cpu_ms == min(point.cpu_ms for point in enough)
    assert set(tuned.search_parameters) == set(index.parameter_names)
    assert all(set(row) >= {"parameters", "image", "text", "cpu_ms"} for row in tuned.curve_rows())


def test_a_target_that_nothing_reaches_fails_and_names_the_best(vectors: RowVectors, tmp_path: Path) -> None:
    index = _index("IVF64,PQ4", vectors, tmp_path)

    with pytest.raises(GateError, match=r"recall@10 of 0\.\d+ at best .*nprobe .* target 0.99"):
        _tune(index, vectors, target=0.99)


def test_a_search_of_everything_has_nothing_to_tune(vectors: RowVectors, tmp_path: Path) -> None:
    tuned = _tune(_index("flat", vectors, tmp_path), vectors, target=1.0)

    assert tuned.search_parameters == {}
    assert len(tuned.curve) == 1


def test_the_curve_is_drawn(vectors: RowVectors, tmp_path: Path) -> None:
    tuned = _tune(_index("ivf-sq8", vectors, tmp_path), vectors, target=0.9)

    draw_curve(tuned, recall_target=0.9, title="a catalog", path=tmp_path / "curve.png")

    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.width > 500


def _index(key: str, vectors: RowVectors, folder: Path) -> VectorIndex:
    recipe = recipe_of(key, items=ITEMS, dimension=DIMENSION)
    batches = [batch for _, batch in vectors.batches()]
    recipe.train(batches[0]).build(batches, into=folder / "shard")
    return VectorIndex.open_folders([folder / "shard"], index_version="index-of-a-test")


def _tune(index: VectorIndex, vectors: RowVectors, *, target: float) -> TunedSearch:
    generator = np.random.default_rng(5)
    near = vectors.rows(np.arange(0, ITEMS, 100)) + 0.05 * generator.standard_normal((40, DIMENSION))
    images = HeldOutQueries(_unit(near), np.full(40, -1))
    texts = HeldOutQueries(_unit(near + 0.1 * generator.standard_normal((40, DIMENSION))), np.full(40, -1))
    return tune_search(index, TuningGoal(target), vectors, images=images, texts=texts, index_key="key")


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
