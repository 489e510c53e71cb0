"""One comparison from vectors to figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.index_comparison.building import build_all
from benchmarks.index_comparison.figures import REFERENCE, system_figures
from benchmarks.index_comparison.held_down import LEAST_BYTES, search_held_down
from benchmarks.index_comparison.searching import search_all
from benchmarks.index_comparison.systems import System, wholly_in_ram
from benchmarks.index_comparison.targets import targets
from benchmarks.index_comparison.workspace import Workspace
from vitrine.vector_index import REFINEMENT_FILE

CACHED_SHARE = 0.1


@dataclass(frozen=True)
class Plan:
    """How a comparison is run.

    Attributes:
        recall: that each system is tuned to.
        rounds: of the measured queries.
        builds_at_once: side by side, each on one thread.
        limit_s: CPU seconds, after which a build counts as not finished.
    """

    recall: float = 0.95
    rounds: int = 5
    builds_at_once: int = 2
    limit_s: float = 1_800.0


def build(systems: Sequence[System], workspace: Workspace, plan: Plan, *, say: Callable[[str], None]) -> None:
    """Builds what is not built yet."""
    build_all(systems, workspace, at_once=plan.builds_at_once, limit_s=plan.limit_s, say=say)


def compare(
    title: str,
    about: str,
    systems: Sequence[System],
    workspace: Workspace,
    plan: Plan,
    *,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Builds and searches all systems; returns what was found as plain data."""
    items, dimension = np.load(workspace.vectors, mmap_mode="r").shape
    built = build_all(systems, workspace, at_once=plan.builds_at_once, limit_s=plan.limit_s, say=say)
    refined = [one for one in systems if refinement_bytes(one, workspace)]
    opened = [one for one in systems if not built[one.name].failure] + [wholly_in_ram(one) for one in refined]
    searched, failures = search_all(opened, workspace, target=plan.recall, rounds=plan.rounds, say=say)
    held_down = {}
    for system in (one for one in refined if refinement_bytes(one, workspace) * CACHED_SHARE >= LEAST_BYTES):
        setting = searched[system.name].setting("image")
        held_down[system.name] = asdict(search_held_down(system, workspace, setting, share=CACHED_SHARE))
        say(f"{system.name} with little page cache: {held_down[system.name]}")
    figures = {
        system.name: system_figures(
            system.name,
            built=built[system.mapped_name],
            searched=searched.get(system.name),
            reference=searched.get(REFERENCE),
            failure=failures.get(system.name, ""),
            items=items,
        )
        for system in [*systems, *opened]
    }
    return {
        "title": title,
        "about": about,
        "items": items,
        "dimension": dimension,
        "plan": asdict(plan),
        "systems": list(figures.values()),
        "held_down": held_down,
        "targets": [asdict(target) for target in targets(figures, searched)],
    }


def refinement_bytes(system: System, workspace: Workspace) -> int:
    """Returns the size of a system's refinement; 0 where it has none."""
    path = workspace.system_folder(system.folder_name) / "shard-0000" / REFINEMENT_FILE
    return path.stat().st_size if path.exists() else 0
