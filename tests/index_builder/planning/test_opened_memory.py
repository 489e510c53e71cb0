"""The memory that is predicted of an opened index, beside what a process that opens it takes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index_builder.planning.calibration import read_calibration
from index_builder.planning.opened_memory import anonymous_bytes, measure_opened_memory
from index_builder.planning.plan import predict_recipe
from index_builder.planning.request import PlanRequest
from index_builder.recipes import FAMILIES, recipe_of
from vitrine.errors import ContractError

DISTINCT = 20_000
_COPIES = 20  # of each vector: memory asks for many rows, and only encoding them takes time
_TRAINED_ON = {"opq-ivf-pq": 4_000}  # rows, else 12,000: how well a rotation fits does not change what it takes
_PROCESS_BYTES = 100_000  # by which two processes differ that open nothing


def clustered(items: int, dimension: int) -> np.ndarray:
    """Returns vectors in clusters of which some hold more than others: (items, dimension), unit L2 norm."""
    generator = np.random.default_rng(3)
    centers = generator.standard_normal((300, dimension), dtype=np.float32)
    clusters = (300 * generator.random(items) ** 2).astype(np.int64)
    drawn = centers[clusters] + generator.standard_normal((items, dimension), dtype=np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "hnsw-sq8"])
def test_memory_of_an_opened_index_is_predicted_to_a_tenth(family: str, tmp_path: Path) -> None:
    vectors, items = clustered(DISTINCT, 128), DISTINCT * _COPIES
    trained = recipe_of(family, items=items, dimension=128).train(vectors[: _TRAINED_ON.get(family, 12_000)])
    trained.encode([vectors], into=tmp_path / "part")
    trained.merge([tmp_path / "part"] * _COPIES, into=tmp_path / "shard")

    check_prediction(family, tmp_path / "shard", items=items, dimension=128)


def test_memory_of_an_opened_graph_is_predicted_to_a_tenth(tmp_path: Path) -> None:
    vectors = clustered(60_000, 32)  # of so few dimensions that a graph is built in seconds
    recipe = recipe_of("hnsw-sq8", items=len(vectors), dimension=32)

    recipe.train(vectors[:12_000], threads=2).build(np.array_split(vectors, 20), into=tmp_path)

    check_prediction("hnsw-sq8", tmp_path, items=len(vectors), dimension=32)


def test_shards_are_opened_one_at_a_time_and_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_shard(tmp_path / "shard", family="ivf-sq8")
    opened: list[list[str]] = []
    run = subprocess.run

    def watched(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        opened.append(command[3:])
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", watched)

    one = measure_opened_memory([tmp_path / "shard"])
    three = measure_opened_memory([tmp_path / "shard"] * 3)

    assert [len(folders) for folders in opened] == [1, 1, 1, 1]
    assert three.file_bytes == 3 * one.file_bytes
    assert three.anonymous_bytes == pytest.approx(3 * one.anonymous_bytes, abs=3 * _PROCESS_BYTES)


def test_a_folder_is_found_from_whatever_folder_a_build_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_shard(tmp_path / "shard", family="flat")
    monkeypatch.chdir(tmp_path)

    measured = measure_opened_memory([Path("shard")])

    assert measured.file_bytes == (tmp_path / "shard" / "index.faiss").stat().st_size


def test_a_folder_without_an_index_is_refused_with_what_the_process_said(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"cannot be opened to measure its memory: status 1, .*index.faiss"):
        measure_opened_memory([tmp_path])


def test_a_system_that_does_not_tell_the_memory_of_a_process_has_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index_builder.planning.opened_memory._STATUS", tmp_path / "status")

    assert anonymous_bytes() is None


def _write_shard(folder: Path, *, family: str) -> None:
    vectors = clustered(3_000, 64)
    recipe_of(family, items=len(vectors), dimension=64).train(vectors).build([vectors], into=folder)


def check_prediction(family: str, shard: Path, *, items: int, dimension: int) -> None:
    measured = measure_opened_memory([shard])
    predicted = predict_recipe(PlanRequest(items, dimension), read_calibration()[family]).index_footprint
    off = abs(predicted.anonymous_bytes - measured.anonymous_bytes)
    assert off <= max(0.1 * measured.anonymous_bytes, _PROCESS_BYTES)
    assert predicted.disk_bytes == pytest.approx(measured.file_bytes, rel=0.05)
