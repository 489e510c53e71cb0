"""The benchmark of index recipes: small, without peers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import index_10m, index_recipes
from benchmarks.index_comparison.ground_truth import exact_rows, recall_at_10
from benchmarks.index_comparison.growth import slopes
from benchmarks.index_comparison.page_cache import MemoryGroup
from benchmarks.vector_sets import VectorSet


def test_a_comparison_writes_a_page_a_plot_and_the_data(tmp_path: Path) -> None:
    small = ["--rows", "2000", "--dimension", "64", "--queries", "40", "--tuning-queries", "40"]

    index_recipes.main(
        [
            *small,
            "--rounds",
            "2",
            "--without-peers",
            "--only",
            "hnsw-sq8",
            "--only",
            "ivf-rabitq",
            "--results",
            str(tmp_path),
        ]
    )

    found = json.loads((tmp_path / "index_recipes.json").read_text())
    systems = {one["name"]: one for one in found["systems"]}
    assert list(systems) == ["hnsw-sq8", "ivf-rabitq", "ivf-rabitq, all in RAM"]
    assert all(one["failure"] == "" for one in systems.values())
    assert all(one["image"]["recall_at_10"] > 0.85 for one in systems.values())
    assert set(systems["ivf-rabitq"]["filters"]) >= {"none", "50%", "0.1%"}
    assert any("warm P50" in target["what"] for target in found["targets"])
    assert "| ivf-rabitq" in (tmp_path / "index_recipes.md").read_text()
    assert (tmp_path / "index_recipes.png").stat().st_size > 10_000


def test_growth_is_measured_under_a_limit_and_drawn_out_along_its_slopes(tmp_path: Path) -> None:
    sizes = ["--sizes", "2000", "4000", "--dimension", "64", "--queries", "30", "--limit-gb", "2"]

    index_10m.main([*sizes, "--processes", "1", "--results", str(tmp_path)])

    found = json.loads((tmp_path / "index_10m.json").read_text())
    assert [size["rows"] for size in found["sizes"]] == [2000, 4000]
    assert all(0 < size["peak_bytes"] < 2e9 for size in found["sizes"])
    assert "extrapolation" in (tmp_path / "index_10m.md").read_text()


def test_exact_answers_are_those_of_brute_force_with_and_without_a_filter() -> None:
    vectors = np.concatenate(list(VectorSet(300, 64).blocks()))
    queries = VectorSet(300, 64).text_queries(5)
    mask = np.random.default_rng(0).random(300) < 0.3

    found = exact_rows(vectors, {"all": queries, "some": queries}, allowed={"some": mask}, threads=1)

    units = vectors.astype(np.float32) / np.linalg.norm(vectors.astype(np.float32), axis=1, keepdims=True)
    scores = queries @ units.T
    assert recall_at_10(found["all"], np.argsort(-scores, axis=1)[:, :10]) == 1.0
    assert recall_at_10(found["some"], np.argsort(-np.where(mask, scores, -2.0), axis=1)[:, :10]) == 1.0


def test_a_slope_is_the_exponent_of_the_growth() -> None:
    sizes = [{"rows": rows, "cpu_s": 3.0 * rows**1.25} for rows in (100_000, 1_000_000, 10_000_000)]

    slope = slopes(sizes)["cpu_s"]

    assert slope.exponent == pytest.approx(1.25)
    assert slope.value(100_000_000) == pytest.approx(3.0 * 100_000_000**1.25)


def test_a_memory_group_is_gone_when_its_block_ends() -> None:
    try:
        group = MemoryGroup("vitrine-test")
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")

    with group:
        group.limit(64 << 20)
        assert group.held()["anonymous"] == 0

    assert not group.folder.exists()
