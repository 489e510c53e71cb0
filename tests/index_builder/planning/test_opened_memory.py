"""The memory that is predicted of an opened index, beside what a process that opens it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from index_builder.planning.calibration import read_calibration
from index_builder.planning.opened_memory import measure_opened_memory
from index_builder.planning.plan import PlanRequest, predict_recipe
from index_builder.recipes import FAMILIES, recipe_of

ITEMS, DIMENSION = 100_000, 128
_TRAINED_ON = 12_000  # rows; what a quantizer is worth does not change what it takes
_PROCESS_BYTES = 100_000  # by which two processes differ that open nothing


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    generator = np.random.default_rng(3)
    centers = generator.standard_normal((300, DIMENSION), dtype=np.float32)
    clusters = (300 * generator.random(ITEMS) ** 2).astype(np.int64)  # some hold more than others
    drawn = centers[clusters] + generator.standard_normal((ITEMS, DIMENSION), dtype=np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


# A graph of so many rows takes half a minute to build; a fifth of them takes a fifth of its memory.
@pytest.mark.parametrize(("family", "items"), [(name, 20_000 if "hnsw" in name else ITEMS) for name in FAMILIES])
def test_memory_of_an_opened_index_is_predicted_to_a_tenth(
    family: str, items: int, vectors: np.ndarray, tmp_path: Path
) -> None:
    recipe = recipe_of(family, items=items, dimension=DIMENSION)
    recipe.train(vectors[:_TRAINED_ON]).build(np.array_split(vectors[:items], 20), into=tmp_path)

    measured = measure_opened_memory([tmp_path])

    predicted = predict_recipe(PlanRequest(items, DIMENSION), read_calibration()[family]).index_footprint
    off = abs(predicted.anonymous_bytes - measured.anonymous_bytes)
    assert off <= max(0.1 * measured.anonymous_bytes, _PROCESS_BYTES)
    assert predicted.disk_bytes == pytest.approx(measured.file_bytes, rel=0.05)
