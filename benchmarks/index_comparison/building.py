"""Builds of all systems, each in a process of its own, its CPU time and its memory measured."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.index_comparison.processes import (
    MemoryWatch,
    SystemFailedError,
    SystemProcess,
    folder_bytes,
    wait_until_ready,
)
from benchmarks.index_comparison.systems import System
from benchmarks.index_comparison.workspace import Workspace
from vitrine.files.whole import replace_file


@dataclass(frozen=True)
class Built:
    """One build.

    Attributes:
        failure: what came instead, or "".
        cpu_s, phases: CPU seconds, all of them and by phase.
        peak_bytes: anonymous memory at its highest, above that of the process with its libraries loaded.
        disk_bytes: of all files that serving needs.
    """

    failure: str = ""
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_bytes: int = 0
    disk_bytes: int = 0
    phases: dict[str, float] | None = None


def build_all(
    systems: Sequence[System],
    workspace: Workspace,
    *,
    at_once: int,
    limit_s: float,
    say: Callable[[str], None],
) -> dict[str, Built]:
    """Builds what is not built yet, `at_once` side by side, each on one thread; returns every build by its name.

    CPU time is counted, so what runs beside it matters little; it is not nothing, as two share caches and memory.
    """
    said = threading.Lock()

    def build(system: System) -> Built:
        built = build_one(system, workspace, limit_s=limit_s)
        with said:
            say(
                f"{system.name}: {built.failure}"
                if built.failure
                else f"{system.name}: built in {built.cpu_s:.0f} CPU s, peak {built.peak_bytes / 1e6:.0f} MB"
            )
        return built

    with ThreadPoolExecutor(at_once) as pool:
        return dict(zip([system.name for system in systems], pool.map(build, systems), strict=True))


def build_one(system: System, workspace: Workspace, *, limit_s: float) -> Built:
    """Builds one system, unless its folder says that it is built."""
    folder = workspace.system_folder(system.folder_name)
    record = folder.with_suffix(".json")
    if record.exists():
        return Built(**json.loads(record.read_text()))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    built = _measured(system, workspace, folder, limit_s=limit_s)
    if built.failure:
        shutil.rmtree(folder)
    replace_file(record, json.dumps(asdict(built)).encode(), durably=False)
    return built


def _measured(system: System, workspace: Workspace, folder: Path, *, limit_s: float) -> Built:
    try:
        with SystemProcess(system, log=workspace.log) as process:
            wait_until_ready(process)
            with MemoryWatch(process.pid) as memory:
                command = {"do": "build", "vectors": str(workspace.vectors), "folder": str(folder)}
                answer = process.ask(command, limit_s=limit_s)
    except SystemFailedError as error:
        return Built(failure=str(error))
    return Built(
        cpu_s=sum(answer["phases"].values()),
        wall_s=answer["wall_s"],
        peak_bytes=memory.peak - memory.base,
        disk_bytes=folder_bytes(folder),
        phases=answer["phases"],
    )
