"""What was measured of each system, as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.index_comparison.building import Built
from benchmarks.index_comparison.searching import Searched

REFERENCE = "hnsw-sq8"


def system_figures(
    name: str, *, built: Built, searched: Searched | None, reference: Searched | None, failure: str, items: int
) -> dict[str, Any]:
    """Returns one system's build, memory, and for each distribution of queries its setting, recall and latencies."""
    found: dict[str, Any] = {"name": name, "failure": failure or built.failure}
    if not built.failure:
        found["build"] = {**asdict(built), "disk_bytes_a_vector": built.disk_bytes / items}
    if searched is None:
        return found
    found["ram_bytes_a_vector"] = searched.ram_bytes / items
    found["mapped_bytes_a_vector"] = searched.mapped_bytes / items
    found["open_s"] = searched.open_s
    for distribution, runs in searched.rounds.items():
        wall = np.concatenate([run.wall_ms for run in runs])
        tuned = searched.tuned[distribution]
        found[distribution] = {
            "setting": tuned.best.setting,
            "reached_when_tuned": tuned.reached,
            "recall_at_10": searched.recall[distribution],
            "cpu_ms": float(np.median([np.median(run.cpu_ms) for run in runs])),
            "p50_ms": float(np.median(wall)),
            "p99_ms": float(np.percentile(wall, 99)),
            "queries": len(wall),
            f"cpu_against_{REFERENCE}": reference and times(searched, reference, distribution),
            "curve": [asdict(point) for point in tuned.curve],
        }
    found["filters"] = {
        kept: {"recall_at_10": recall, "cpu_ms": cpu} for kept, (recall, cpu) in searched.filters.items()
    }
    return found


def times(one: Searched, other: Searched, distribution: str, *, kind: str = "cpu_ms") -> float:
    """Returns how many times as long one system takes: over the rounds, the median ratio of their medians."""
    pairs = zip(one.rounds[distribution], other.rounds[distribution], strict=True)
    return float(np.median([np.median(getattr(a, kind)) / np.median(getattr(b, kind)) for a, b in pairs]))
