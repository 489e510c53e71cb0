"""What the planner predicts from: `python benchmarks/index_calibration.py` writes index_builder/calibration.json.

Builds each family of recipes over made-up embeddings at two sizes and measures what building, opening and searching it
costs; the planner interpolates and extrapolates. CPU time is measured, on one thread, never the clock: other work on
the machine disturbs it least. A few minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))

from vector_sets import VectorSet

from index_builder.measuring.held_out import HeldOutQueries
from index_builder.measuring.recall import GroundTruth, ground_truth
from index_builder.measuring.tuning import CurvePoint, climbs, measure_point
from index_builder.measuring.vectors import RowVectors
from index_builder.planning.opened_memory import measure_opened_memory
from index_builder.recipes import FAMILIES, Recipe, recipe_of
from vitrine.vector_index import VectorIndex

TARGET = Path(__file__).resolve().parent.parent / "index_builder" / "calibration.json"
_LADDERS = {
    "ef_search": (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512),
    "nprobe": (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256),
    "k_factor": (4, 8, 16, 32, 64),
}
_ENOUGH = 0.995  # recall above it is not asked for
_QUANTILES = 32


def main() -> int:
    """Measures, and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs=2, default=[50_000, 200_000], help="the two sizes, smaller first")
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200, help="of each modality")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--into", type=Path, default=TARGET, help="families that are not measured stay as they are")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    measured: dict[str, list[dict[str, Any]]] = {family: [] for family in options.families}
    for rows in options.rows:
        vectors = VectorSet(rows, dimension=options.dimension)
        stored = RowVectors(np.concatenate(list(vectors.blocks())))
        truths = (
            _truth(stored, vectors.image_queries(options.queries)),
            _truth(stored, vectors.text_queries(options.queries)),
        )
        for family in options.families:
            recipe = recipe_of(family, items=rows, dimension=options.dimension)
            figures = measure_recipe(recipe, stored, truths)
            measured[family].append(figures)
            print(_line(recipe, figures), file=sys.stderr, flush=True)
    before = json.loads(options.into.read_text(encoding="utf-8")) if options.into.is_file() else {}
    calibration = {
        "made": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {_processor()}",
        "faiss": faiss.__version__,
        "dimension": options.dimension,
        "families": {**before.get("families", {}), **measured},
    }
    options.into.write_text(json.dumps(calibration, indent=1) + "\n", encoding="utf-8")
    return 0


def measure_recipe(
    recipe: Recipe, vectors: RowVectors, truths: tuple[GroundTruth | None, GroundTruth | None]
) -> dict[str, Any]:
    """Builds and searches one recipe; returns what it cost."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sample = vectors.rows(vectors.sample(recipe.train_rows, seed=recipe.seed))
        with _cpu() as train:
            trained = recipe.train(sample)
        with _cpu() as encode:
            trained.encode((batch for _, batch in vectors.batches()), into=folder / "part")
        with _cpu() as merge:
            trained.merge([folder / "part"], into=folder / "shard")
        sizes = _list_sizes(folder / "part")
        shutil.rmtree(folder / "part")
        memory = measure_opened_memory([folder / "shard"])
        index = VectorIndex.open_folders([folder / "shard"], index_version=recipe.name)
        index.touch()
        return {
            "rows": vectors.items,
            "index_key": recipe.index_key,
            "lists": index.lists,
            "sample_rows": len(sample),
            "train_cpu_s": round(train[0], 3),
            "encode_cpu_s": round(encode[0], 3),
            "merge_cpu_s": round(merge[0], 3),
            "anonymous_bytes": memory.anonymous_bytes,
            "file_bytes": memory.file_bytes,
            "list_size_quantiles": sizes,
            "curve": frontier(_points(index, vectors, truths)),
        }


def frontier(points: list[CurvePoint]) -> list[dict[str, Any]]:
    """Returns the settings that no cheaper one matches in recall, by rising cost."""
    kept: list[dict[str, Any]] = []
    for point in sorted(points, key=lambda point: point.cpu_ms):
        recall = point.recall.worst or 0.0
        if not kept or recall > kept[-1]["recall"]:
            kept.append({"parameters": point.parameters, "recall": round(recall, 4), "cpu_ms": round(point.cpu_ms, 4)})
    return kept


def _points(
    index: VectorIndex, vectors: RowVectors, truths: tuple[GroundTruth | None, GroundTruth | None]
) -> list[CurvePoint]:
    points = []
    for climb in climbs(index, ladders=_LADDERS):
        for parameters in climb:
            points.append(measure_point(index, vectors, truths, parameters))
            if (points[-1].recall.worst or 0.0) >= _ENOUGH:
                break
    return points


def _list_sizes(part: Path) -> list[float]:
    """Returns quantiles of the lists' sizes, as shares of their mean; none where there are no lists."""
    path = part / "lists.i32"
    if not path.is_file():
        return []
    sizes = np.bincount(np.fromfile(path, dtype=np.int32))
    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    return [round(float(size), 3) for size in np.quantile(sizes / sizes.mean(), middles)]


def _truth(vectors: RowVectors, queries: NDArray[np.float32]) -> GroundTruth | None:
    return ground_truth(vectors, HeldOutQueries(queries, np.full(len(queries), -1, dtype=np.int64)))


@contextmanager
def _cpu() -> Iterator[list[float]]:
    taken = [0.0]
    began = time.process_time()
    yield taken
    taken[0] = time.process_time() - began


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")


def _line(recipe: Recipe, figures: dict[str, Any]) -> str:
    enough = next((point for point in figures["curve"] if point["recall"] >= 0.95), None)
    reached = f"{enough['cpu_ms']:.2f} ms at {enough['parameters']}" if enough else "recall 0.95 not reached"
    build = figures["train_cpu_s"] + figures["encode_cpu_s"] + figures["merge_cpu_s"]
    per_row = figures["anonymous_bytes"] / figures["rows"]
    return f"{figures['rows']:>9,} {recipe.index_key:<40} build {build:6.1f} s, {per_row:6.1f} B a row, {reached}"


if __name__ == "__main__":
    sys.exit(main())
