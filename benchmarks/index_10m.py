"""Ten million vectors on two cores under a limit of memory: `make bench-index-10m`, `python -m benchmarks.index_10m`.

For each size from 100,000 to 10 million: vectors are streamed to disk as float16, one recipe is built as the index
builder builds it (a sample over the whole set trains, two processes encode parts, the parts merge), and searched. All
of it runs under a limit of 12 GB: a cgroup, where one can be made, which the kernel enforces on anonymous memory and
page cache together; else RLIMIT_DATA of each process, which the kernel enforces on anonymous memory.

Needs about 25 GB of disk and half an hour for the 10 million. Results go to `benchmarks/results/index_10m.*`; the
figures at 100 million are an extrapolation along the slopes, and say so.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.index_comparison.building import Built
from benchmarks.index_comparison.ground_truth import recall_at_10
from benchmarks.index_comparison.growth import FAR, extrapolates, growth_page, plot_growth, slopes
from benchmarks.index_comparison.page_cache import MemoryGroup
from benchmarks.index_comparison.processes import (
    MemoryWatch,
    SystemProcess,
    folder_bytes,
    mapped_bytes,
    wait_until_ready,
)
from benchmarks.index_comparison.searching import TUNING_MARGIN
from benchmarks.index_comparison.systems import ROOT, System
from benchmarks.index_comparison.tuning import tune
from benchmarks.index_comparison.workspace import DISTRIBUTIONS, Workspace
from benchmarks.index_recipes import say
from benchmarks.vector_sets import BLOCK_ROWS, VectorSet

_GB = 1_000_000_000


def main(arguments: list[str] | None = None) -> int:
    """Builds and searches every size; returns 1 when a target of the largest was not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--family", default="ivf-rabitq")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--limit-gb", type=float, default=12.0)
    parser.add_argument("--queries", type=int, default=1_000, help="of each distribution; tuned on as many others")
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--work", type=Path, help="keeps vectors and indexes here, and takes up what is there")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args(arguments)
    if options.work:
        return _run(options, options.work.resolve())
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        return _run(options, Path(folder))


def make_vectors(workspace: Workspace, rows: int, dimension: int, *, queries: int, processes: int) -> None:
    """Streams vectors to disk, made by several processes, a few blocks in memory."""
    vectors = VectorSet(rows, dimension)
    if not workspace.has("vectors"):
        say(f"making {rows:,} x {dimension} vectors")
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            workspace.write_vectors(_in_order(pool, vectors, ahead=2 * processes), rows=rows, dimension=dimension)
    if not workspace.has("queries-text"):
        draws = {"image": vectors.image_queries, "text": vectors.text_queries}
        workspace.write_queries(
            lambda distribution, count: draws[distribution](count), tuning=queries, measured=queries, say=say
        )


def _in_order(pool: ProcessPoolExecutor, vectors: VectorSet, *, ahead: int) -> Iterator[NDArray[np.float16]]:
    count = -(-vectors.rows // BLOCK_ROWS)
    asked = [pool.submit(vectors.block, block) for block in range(min(ahead, count))]
    for block in range(count):
        made = asked.pop(0).result()
        if block + ahead < count:
            asked.append(pool.submit(vectors.block, block + ahead))
        yield made[: vectors.rows - block * BLOCK_ROWS]


def _run(options: argparse.Namespace, work: Path) -> int:
    sizes = []
    for rows in options.sizes:
        folder = work / f"grown-{rows}x{options.dimension}"
        folder.mkdir(parents=True, exist_ok=True)
        workspace = Workspace(folder)
        make_vectors(workspace, rows, options.dimension, queries=options.queries, processes=options.processes)
        sizes.append(_size(options, workspace, rows))
        say(json.dumps(sizes[-1]))
        _write(options, sizes)
    last = sizes[-1]
    recalls = [last[f"recall_{distribution}"] for distribution in DISTRIBUTIONS]
    return 0 if min(recalls) >= options.recall and last["peak_bytes"] <= options.limit_gb * _GB else 1


def _size(options: argparse.Namespace, workspace: Workspace, rows: int) -> dict[str, Any]:
    """Builds, tunes and searches one size under the limit."""
    system = System(options.family, "recipe", {"family": options.family, "processes": options.processes})
    folder = workspace.system_folder(system.folder_name)
    found: dict[str, Any] = {"rows": rows}
    with ExitStack() as held:
        group, limited = _limit(held, options)
        found["limited_by"] = limited

        def started() -> SystemProcess:
            process = held.enter_context(
                SystemProcess(system, log=workspace.log, before_start=_data_limit(group, options))
            )
            wait_until_ready(process)
            if group is not None:
                group.add(process.pid)
            return process

        found |= asdict(_built(started, folder, workspace))
        process = started()
        before = wait_until_ready(process)
        with MemoryWatch(process.pid) as memory:
            parameters = tuple(process.ask({"do": "open", "folder": str(folder)})["parameters"])
            for distribution in DISTRIBUTIONS:
                found |= _searched(process, parameters, workspace, distribution, rows=rows, recall=options.recall)
            found["ram_bytes"] = process.ask({"do": "memory"})["anonymous"] - before
        found["peak_searching_bytes"] = memory.peak
        found["mapped_bytes"] = mapped_bytes(process.pid, folder)
        found["cpu_ms"] = found["cpu_ms_image"]
    return found


def _limit(held: ExitStack, options: argparse.Namespace) -> tuple[MemoryGroup | None, str]:
    limit = round(options.limit_gb * _GB)
    try:
        group = held.enter_context(MemoryGroup("vitrine-bench-10m"))
        group.limit(limit)
    except OSError as error:
        return None, f"RLIMIT_DATA, {options.limit_gb:g} GB over {options.processes + 1} processes (no cgroup: {error})"
    return group, f"a cgroup (v{group.version}) of {options.limit_gb:g} GB, page cache included"


def _data_limit(group: MemoryGroup | None, options: argparse.Namespace) -> Any:
    if group is not None:
        return None
    share = round(options.limit_gb * _GB / (options.processes + 1))
    return partial(resource.setrlimit, resource.RLIMIT_DATA, (share, share))


def _built(started: Any, folder: Path, workspace: Workspace) -> Built:
    record = folder.with_suffix(".json")
    if record.exists():
        return Built(**json.loads(record.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    process = started()
    with MemoryWatch(process.pid) as memory:
        answer = process.ask(
            {"do": "build", "vectors": str(workspace.vectors), "folder": str(folder)}, limit_s=6 * 3_600.0
        )
    process.end()
    built = Built(
        cpu_s=sum(answer["phases"].values()),
        wall_s=answer["wall_s"],
        peak_bytes=memory.peak,
        disk_bytes=folder_bytes(folder),
        phases=answer["phases"],
    )
    record.write_text(json.dumps(asdict(built)))
    return built


def _searched(
    process: SystemProcess,
    parameters: tuple[str, ...],
    workspace: Workspace,
    distribution: str,
    *,
    rows: int,
    recall: float,
) -> dict[str, Any]:
    truth = np.load(workspace.path(f"truth-{distribution}-tuning"))
    queries = workspace.path(f"queries-{distribution}-tuning")
    tuned = tune(process, parameters, queries, truth, target=recall + TUNING_MARGIN, most=rows)
    answered = process.search(workspace.path(f"queries-{distribution}"), tuned.best.setting)
    return {
        f"setting_{distribution}": tuned.best.setting,
        f"recall_{distribution}": recall_at_10(answered.rows, np.load(workspace.path(f"truth-{distribution}"))),
        f"cpu_ms_{distribution}": float(np.median(answered.cpu_ms)),
        f"p50_ms_{distribution}": float(np.median(answered.wall_ms)),
        f"p99_ms_{distribution}": float(np.percentile(answered.wall_ms, 99)),
    }


def _write(options: argparse.Namespace, sizes: list[dict[str, Any]]) -> None:
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / "index_10m"
    fitted = slopes(sizes)
    title = f"{options.family}, {options.dimension} dimensions, {options.processes} processes"
    data = {
        "family": options.family,
        "dimension": options.dimension,
        "processes": options.processes,
        "cores": os.cpu_count(),
        "written": time.strftime("%Y-%m-%d"),
        "sizes": sizes,
        "slopes": {measure: asdict(slope) for measure, slope in fitted.items()},
        "extrapolated": {measure: slope.value(FAR) for measure, slope in fitted.items()} if extrapolates(sizes) else {},
    }
    path.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
    path.with_suffix(".md").write_text(growth_page(title, sizes))
    if len(sizes) > 1:
        plot_growth(sizes, path.with_suffix(".png"), title=title)


if __name__ == "__main__":
    sys.exit(main())
