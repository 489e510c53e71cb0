"""Every index recipe beside hnswlib, usearch and autofaiss: `make bench-index`, `python -m benchmarks.index_recipes`.

1. Vectors are made (`vector_sets.py`) and written as float16; queries of pictures and of texts, exact answers, filters.
2. Every system builds in a process of its own, on one thread: CPU seconds and peak anonymous memory.
3. All are opened at once, each in its process. Each is tuned, on queries of its own, to the cheapest setting that
   reaches the recall; then all answer the same other queries, one at a time, in rounds, in an order that changes.
4. Filters; and the mapped recipes again, with the page cache held to a tenth of their refinement.

Results go to `benchmarks/results/`: a page, a plot and the data. The peers live in `.bench-venv`, which the first run
makes. Times of one machine mean little: read the ratios. `--real` adds a folder of photographs in the items format (or
a .npy of vectors), embedded by the encoder that comes with Vitrine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.index_comparison import comparison
from benchmarks.index_comparison.comparison import Plan
from benchmarks.index_comparison.plots import plot_curves
from benchmarks.index_comparison.real_embeddings import read_real_vectors
from benchmarks.index_comparison.systems import PEER_PYTHON, PEERS_FILE, ROOT, System, peers, recipes
from benchmarks.index_comparison.tables import comparison_page
from benchmarks.index_comparison.workspace import Workspace
from benchmarks.vector_sets import VectorSet

_NAME = "index_recipes"


def main(arguments: list[str] | None = None) -> int:
    """Runs the comparison and writes its results; returns 1 when a target was not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--queries", type=int, default=1_000, help="of each distribution, measured")
    parser.add_argument("--tuning-queries", type=int, default=1_000, help="of each distribution, others than those")
    parser.add_argument("--recall", type=float, default=0.95, help="that every system is tuned to")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--builds-at-once", type=int, default=2)
    parser.add_argument("--limit-s", type=float, default=1_800.0, help="CPU seconds of one build")
    parser.add_argument("--real", type=Path, action="append", default=[], help="a folder of items, or a .npy")
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--only", action="append", help="systems by name")
    parser.add_argument("--work", type=Path, help="keeps vectors and indexes here, and takes up what is there")
    parser.add_argument("--build-only", action="store_true", help="with --work: search in a later run")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args(arguments)
    systems = recipes() + ([] if options.without_peers else peers())
    if options.build_only and not options.work:
        parser.error("--build-only leaves nothing without --work, where a later run finds the indexes")
    if unknown := set(options.only or ()) - {one.name for one in systems}:
        parser.error(f"--only {', '.join(sorted(unknown))}: expected some of {', '.join(one.name for one in systems)}")
    if options.only:
        systems = [one for one in systems if one.name in options.only]
    if any(system.kind != "recipe" for system in systems):
        make_peer_environment()
    if options.work:
        return _run(options, systems, options.work.resolve())
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        return _run(options, systems, Path(folder))


def make_peer_environment() -> None:
    """Makes `.bench-venv` of the pinned peers, unless it is there as they are pinned.

    Raises:
        SystemExit: it cannot be made.
    """
    stamp = PEER_PYTHON.parents[1] / "peers.txt"
    if stamp.exists() and stamp.read_text() == PEERS_FILE.read_text():
        return
    say("making .bench-venv")
    environment = PEER_PYTHON.parents[1]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
        install = [str(PEER_PYTHON), "-m", "pip", "install", "--quiet", "-r", str(PEERS_FILE)]
        subprocess.run(install, check=True)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f".bench-venv cannot be made: {error}; --without-peers does without") from error
    stamp.write_text(PEERS_FILE.read_text())


def say(line: str) -> None:
    """Prints a line with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def _run(options: argparse.Namespace, systems: list[System], work: Path) -> int:
    plan = Plan(options.recall, options.rounds, options.builds_at_once, options.limit_s)
    found = []
    for name, workspace, title, about in _workspaces(options, work):
        if options.build_only:
            comparison.build(systems, workspace, plan, say=say)
            continue
        say(title)
        one = comparison.compare(title, about, systems, workspace, plan, say=say)
        found.append({"file": name, **one})
        print(comparison_page(one), flush=True)
    if found:
        _write(found, options.results, target=options.recall)
    missed = [target for one in found[:1] for target in one["targets"] if not target["met"]]
    return 1 if missed else 0


def _workspaces(options: argparse.Namespace, work: Path) -> Any:
    """Yields the made vectors, then the real ones, each ready to be compared over."""
    made = _workspace(work / f"made-{options.rows}x{options.dimension}")
    vectors = VectorSet(options.rows, options.dimension)
    if not made.has("vectors"):
        say(f"making {options.rows:,} x {options.dimension} vectors")
        made.write_vectors(vectors.blocks(), rows=options.rows, dimension=options.dimension)
    if not made.has("queries-text"):
        draws = {"image": vectors.image_queries, "text": vectors.text_queries}
        made.write_queries(
            lambda distribution, count: draws[distribution](count),
            tuning=options.tuning_queries,
            measured=options.queries,
            say=say,
        )
    about = (
        f"Made vectors (`benchmarks/vector_sets.py`), {options.tuning_queries} queries of each distribution to tune, "
        f"{options.queries} others measured in {options.rounds} rounds, one thread, one query at a time. Times are of "
        "one shared machine: read the ratios."
    )
    yield _NAME, made, f"Index recipes over {options.rows:,} x {options.dimension}", about
    for source in options.real:
        workspace = _workspace(work / f"real-{source.stem}")
        if not workspace.has("queries-image"):
            real = read_real_vectors(source, say=say)
            rows, dimension = real.rows.shape
            workspace.write_vectors([real.rows.astype(np.float16)], rows=rows, dimension=dimension)
            workspace.write_queries(real.queries, tuning=1_000, measured=1_000, say=say)
        rows, dimension = workspace.array("vectors").shape
        about = f"Real embeddings, few: {rows:,} photographs, so this says little about cost and much about recall."
        yield f"{_NAME}-{source.stem}", workspace, f"Index recipes over {source.stem}, {rows:,} x {dimension}", about


def _workspace(folder: Path) -> Workspace:
    folder.mkdir(parents=True, exist_ok=True)
    return Workspace(folder)


def _write(found: list[dict[str, Any]], results: Path, *, target: float) -> None:
    results.mkdir(parents=True, exist_ok=True)
    for one in found:
        path = results / one["file"]
        path.with_suffix(".json").write_text(json.dumps(one, indent=1) + "\n")
        plot_curves(one, path.with_suffix(".png"), target=target)
        page = comparison_page(one)
        path.with_suffix(".md").write_text(f"{page}\n![recall against CPU time]({path.name}.png)\n")
    say(f"written to {results}")


if __name__ == "__main__":
    sys.exit(main())
