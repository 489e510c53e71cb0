"""Searches of a mapped recipe while the page cache may hold only a part of what it maps."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.index_comparison.ground_truth import recall_at_10
from benchmarks.index_comparison.page_cache import MemoryGroup, cached_share, drop_from_page_cache
from benchmarks.index_comparison.processes import SystemProcess, wait_until_ready
from benchmarks.index_comparison.systems import System
from benchmarks.index_comparison.workspace import Workspace
from vitrine.vector_index import REFINEMENT_FILE

LEAST_BYTES = 4_000_000  # less cannot be told from what a process needs beside it
_WARM_UP = 100  # queries before those that are measured, so that the cache holds what it may


@dataclass(frozen=True)
class HeldDown:
    """What a recipe did with a part of its refinement in the page cache.

    Attributes:
        how: what held the cache down.
        cached_share: of the refinement that the cache held at the end.
        faults_a_query: pages that had to be read from disk.
    """

    how: str
    cached_share: float
    recall: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    faults_a_query: float
    queries: int


def search_held_down(system: System, workspace: Workspace, setting: dict[str, int], *, share: float) -> HeldDown:
    """Measures the pictures' queries with `share` of the refinement in the page cache, by a cgroup.

    Where no cgroup can be made, the files are put out of the cache once and the queries meet what is not cached: colder
    at first, warmer later.
    """
    shard = workspace.system_folder(system.folder_name) / "shard-0000"
    queries, truth = workspace.path("queries-image"), np.load(workspace.path("truth-image"))
    untouched = replace(system, options={**system.options, "touch": False})
    with ExitStack() as held:
        try:
            group = held.enter_context(MemoryGroup("vitrine-bench"))
        except OSError as error:
            group, how = None, f"no cgroup can be made here ({error}): the cache was emptied once before"
        process = held.enter_context(SystemProcess(untouched, log=workspace.log))
        wait_until_ready(process)
        for path in shard.iterdir():
            drop_from_page_cache(path)
        if group is not None:
            group.add(process.pid)
        process.ask({"do": "open", "folder": str(shard.parent)})
        if group is not None:
            process.search(queries, setting, stop=5)  # what a search needs beside the index is there before the limit
            group.limit(group.held()["anonymous"] + round(share * (shard / REFINEMENT_FILE).stat().st_size))
            how = f"a cgroup (v{group.version}): its anonymous memory and {share:.0%} of the refinement"
            process.search(workspace.path("queries-image-tuning"), setting, stop=_WARM_UP)
        answered = process.search(queries, setting)
        cached = cached_share(shard / REFINEMENT_FILE)
    return HeldDown(
        how=how,
        cached_share=cached,
        recall=recall_at_10(answered.rows, truth),
        p50_ms=float(np.median(answered.wall_ms)),
        p99_ms=float(np.percentile(answered.wall_ms, 99)),
        cpu_ms=float(np.median(answered.cpu_ms)),
        faults_a_query=answered.faults / len(truth),
        queries=len(truth),
    )
