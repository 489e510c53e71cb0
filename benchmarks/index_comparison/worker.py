"""The process of one system: `python -m benchmarks.index_comparison.worker '<system as JSON>'`.

Takes one command a line from standard input and answers each by one line of JSON. Runs in this project's environment or
in that of the peers, so it imports nothing but numpy until it knows its system.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.index_comparison.phases import anonymous_bytes


class Searchable(Protocol):
    """What a process does for its system."""

    def build(self, vectors: Any, folder: Path) -> dict[str, float]:
        """Builds from (n, dimension) float16 rows on disk; returns CPU seconds by phase."""

    def open(self, folder: Path) -> tuple[str, ...]:
        """Opens what was built; returns the names of its search parameters."""

    def touch(self) -> None:
        """Reads again what is mapped, where anything is."""

    def prepare(self, setting: dict[str, int], allowed: Any) -> None:
        """Takes the setting, and the rows allowed (a mask or None), of the next searches."""

    def search(self, query: Any, top_k: int) -> Any:
        """Returns the rows of one query: (top_k,)."""


def main() -> int:
    """Answers commands until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print what they like
    system = json.loads(sys.argv[1])
    loaded: Searchable = _load(system)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = _answer(loaded, command)
        except Exception as error:  # noqa: BLE001 - a foreign library may raise anything; it is reported, not hidden
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


def _load(system: dict[str, Any]) -> Searchable:
    if system["kind"] == "recipe":
        from benchmarks.index_comparison.recipe_system import RecipeSystem

        return RecipeSystem(**system["options"], in_ram=system["in_ram"])
    from benchmarks.index_comparison import peer_systems

    return peer_systems.KINDS[system["kind"]](**system["options"])


def _answer(system: Searchable, command: dict[str, Any]) -> dict[str, Any]:
    if command["do"] == "build":
        vectors = np.load(command["vectors"], mmap_mode="r")
        began = time.perf_counter()
        phases = system.build(vectors, Path(command["folder"]))
        return {"phases": phases, "wall_s": time.perf_counter() - began}
    if command["do"] == "open":
        began = time.perf_counter()
        parameters = system.open(Path(command["folder"]))
        return {"parameters": parameters, "open_s": time.perf_counter() - began}
    if command["do"] == "touch":
        system.touch()
        return {}
    if command["do"] == "memory":
        # Free heap that imports left would take a small index in unseen, and freed heap count as the index's.
        ctypes.CDLL(None).malloc_trim(0)
        return {"anonymous": anonymous_bytes()}
    return _search(system, command)


def _search(system: Searchable, command: dict[str, Any]) -> dict[str, Any]:
    """Asks queries one at a time, as they come in serving; writes the rows found, returns times in nanoseconds."""
    queries = np.load(command["queries"])[command["start"] : command["stop"]]
    allowed = None if command.get("allowed") is None else np.load(command["allowed"])
    system.prepare(command["setting"], allowed)
    top_k = command["top_k"]
    found = np.full((len(queries), top_k), -1, dtype=np.int64)
    cpu, wall = [], []
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    for number, query in enumerate(queries):
        began_cpu, began = time.process_time_ns(), time.perf_counter_ns()
        rows = system.search(query[None, :], top_k)
        wall.append(time.perf_counter_ns() - began)
        cpu.append(time.process_time_ns() - began_cpu)
        found[number, : len(rows)] = rows
    np.save(command["found"], found)
    return {"cpu": cpu, "wall": wall, "faults": resource.getrusage(resource.RUSAGE_SELF).ru_majflt - faults}


if __name__ == "__main__":
    sys.exit(main())
