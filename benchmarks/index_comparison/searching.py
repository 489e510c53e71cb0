"""Searches of all systems in turns: tuned on some queries, measured on others, in rounds, in an order that changes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from benchmarks.index_comparison.ground_truth import recall_at_10
from benchmarks.index_comparison.processes import (
    Answered,
    SystemFailedError,
    SystemProcess,
    mapped_bytes,
    wait_until_ready,
)
from benchmarks.index_comparison.systems import System
from benchmarks.index_comparison.tuning import Tuned, tune
from benchmarks.index_comparison.workspace import DISTRIBUTIONS, FILTERED_QUERIES, KEPT, NEAR, Workspace

# 1,000 tuning queries leave a recall uncertain by about 0.003: tuned this much above the target, most systems reach it
# when measured. The same for all.
TUNING_MARGIN = 0.005
_SLOW_MS = 10.0  # a system that takes longer is asked a tenth of the queries
_WARM_UP = 10


@dataclass
class Searched:
    """One system, opened and searched.

    Attributes:
        ram_bytes: anonymous memory that opening and searching added to its process.
        mapped_bytes: of files, beside it.
        tuned: by distribution.
        rounds: by distribution: what each round answered.
        recall: by distribution, over the measured queries.
        filters: by the filter's name, recall@10 and median CPU milliseconds; `none` on the same queries unfiltered.
    """

    process: SystemProcess
    ram_before: int
    parameters: tuple[str, ...] = ()
    ram_bytes: int = 0
    mapped_bytes: int = 0
    open_s: float = 0.0
    tuned: dict[str, Tuned] = field(default_factory=dict)
    rounds: dict[str, list[Answered]] = field(default_factory=dict)
    recall: dict[str, float] = field(default_factory=dict)
    filters: dict[str, tuple[float, float]] = field(default_factory=dict)

    def setting(self, distribution: str) -> dict[str, int]:
        """Returns the tuned setting."""
        return self.tuned[distribution].best.setting


def search_all(
    systems: Sequence[System], workspace: Workspace, *, target: float, rounds: int, say: Callable[[str], None]
) -> tuple[dict[str, Searched], dict[str, str]]:
    """Opens every system at once, tunes each, then measures all in turns.

    Returns:
        what was found, by name, and the failures of the others, by name.
    """
    searched: dict[str, Searched] = {}
    failures: dict[str, str] = {}
    with ExitStack() as processes:
        for system in systems:
            process = processes.enter_context(SystemProcess(system, log=workspace.log))
            try:
                searched[system.name] = one = _opened(process, workspace)
                mapped = searched.get(system.mapped_name)
                one.tuned = mapped.tuned if mapped and system.in_ram else _tuned(one, workspace, target=target)
            except SystemFailedError as error:
                failures[system.name] = str(error)
                searched.pop(system.name, None)
                say(f"{system.name}: {error}")
                continue
            say(f"{system.name}: " + "; ".join(f"{name} {_shown(tuned)}" for name, tuned in one.tuned.items()))
        # Opening the last systems may have put what the first ones map out of the page cache.
        for one in searched.values():
            one.process.ask({"do": "touch"})
        _measure(searched, workspace, rounds=rounds, say=say)
        for one in searched.values():
            one.ram_bytes = one.process.ask({"do": "memory"})["anonymous"] - one.ram_before
            folder = workspace.system_folder(one.process.system.folder_name)
            one.mapped_bytes = mapped_bytes(one.process.pid, folder)
        for one in searched.values():
            if one.process.system.kind == "recipe" and not one.process.system.in_ram:
                _filter(one, workspace)
        say("filters measured")
    return searched, failures


def _opened(process: SystemProcess, workspace: Workspace) -> Searched:
    before = wait_until_ready(process)
    folder = workspace.system_folder(process.system.folder_name)
    answer = process.ask({"do": "open", "folder": str(folder)})
    return Searched(process, before, parameters=tuple(answer["parameters"]), open_s=answer["open_s"])


def _tuned(one: Searched, workspace: Workspace, *, target: float) -> dict[str, Tuned]:
    most = len(workspace.array("vectors"))
    return {
        distribution: tune(
            one.process,
            one.parameters,
            workspace.path(f"queries-{distribution}-tuning"),
            np.load(workspace.path(f"truth-{distribution}-tuning")),
            target=target + TUNING_MARGIN,
            most=most,
        )
        for distribution in DISTRIBUTIONS
        if workspace.has(f"queries-{distribution}-tuning")
    }


def _measure(searched: dict[str, Searched], workspace: Workspace, *, rounds: int, say: Callable[[str], None]) -> None:
    """Asks each system the same queries in each round; fills `rounds` and `recall`."""
    shuffled = random.Random(0)
    names = list(searched)
    found: dict[tuple[str, str], list[tuple[int, Answered]]] = {}
    for number in range(rounds):
        shuffled.shuffle(names)
        for distribution in (name for name in DISTRIBUTIONS if workspace.has(f"queries-{name}")):
            queries = workspace.path(f"queries-{distribution}")
            cuts = np.linspace(0, len(workspace.array(f"queries-{distribution}")), rounds + 1).astype(int)
            start, stop = int(cuts[number]), int(cuts[number + 1])
            for name in names:
                one = searched[name]
                slow = one.tuned[distribution].best.cpu_ms > _SLOW_MS
                last = start + -(-(stop - start) // 10) if slow else stop
                setting = one.setting(distribution)
                one.process.search(queries, setting, start=start, stop=min(start + _WARM_UP, last))
                answered = one.process.search(queries, setting, start=start, stop=last)
                one.rounds.setdefault(distribution, []).append(answered)
                found.setdefault((name, distribution), []).append((start, answered))
        say(f"round {number + 1} of {rounds} measured")
    for (name, distribution), runs in found.items():
        truth = np.load(workspace.path(f"truth-{distribution}"))
        asked = np.concatenate([truth[start : start + len(answered.rows)] for start, answered in runs])
        rows = np.concatenate([answered.rows for _, answered in runs])
        searched[name].recall[distribution] = recall_at_10(rows, asked)


def _filter(one: Searched, workspace: Workspace) -> None:
    queries = workspace.path("queries-image")
    count = min(FILTERED_QUERIES, len(workspace.array("queries-image")))
    if one.tuned["image"].best.cpu_ms > _SLOW_MS:
        count = -(-count // 10)
    for name in ("none", *KEPT, NEAR):
        truth = np.load(workspace.path("truth-image" if name == "none" else f"truth-image-{name}"))[:count]
        mask = None if name == "none" else workspace.path(f"mask-{name}")
        answered = one.process.search(queries, one.setting("image"), stop=count, allowed=mask)
        one.filters[name] = (recall_at_10(answered.rows, truth), float(np.median(answered.cpu_ms)))


def _shown(tuned: Tuned) -> str:
    setting = " ".join(f"{name} {value}" for name, value in tuned.best.setting.items()) or "no setting"
    reached = "" if tuned.reached else ", the target not reached"
    return f"{setting}: recall {tuned.best.recall:.3f}, {tuned.best.cpu_ms:.2f} CPU ms{reached}"
