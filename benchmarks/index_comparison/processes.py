"""The processes of the systems, as the benchmark sees them: commands in, answers out, memory watched from outside."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.index_comparison.phases import anonymous_bytes
from benchmarks.index_comparison.systems import ROOT, System
from vitrine.processes.table import cpu_s_in, stat_fields

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_SAMPLED_EVERY_S = 0.02
_LOOKED_EVERY_S = 2.0
_CHILDREN_EVERY = 25  # samples between looks at which processes there are


class SystemFailedError(Exception):
    """A system did not do what it was asked; the message is what a table says of it."""


@dataclass(frozen=True)
class Answered:
    """One run of queries.

    Attributes:
        rows: (n, top_k), -1 where nothing was found.
        cpu_ms, wall_ms: (n,), of each query.
        faults: pages that had to be read from disk.
    """

    rows: NDArray[np.int64]
    cpu_ms: NDArray[np.float64]
    wall_ms: NDArray[np.float64]
    faults: int


class SystemProcess:
    """One system in a process of its own; the context manager ends it."""

    def __init__(self, system: System, *, log: Path, before_start: Callable[[], None] | None = None) -> None:
        self.system = system
        self._log = log.open("a")
        threads = str(system.options.get("processes", 1))
        environment = {**os.environ, **dict.fromkeys(_THREADS, threads)}
        self._process = subprocess.Popen(
            [str(system.python), "-m", "benchmarks.index_comparison.worker", json.dumps(system.as_json())],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            preexec_fn=before_start,  # noqa: PLW1509 - no other thread of this process holds a lock then
        )
        self.pid = self._process.pid

    def __enter__(self) -> SystemProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def ask(self, command: dict[str, Any], *, limit_s: float = 3_600.0) -> dict[str, Any]:
        """Sends a command and returns the answer.

        Args:
            limit_s: of the process's CPU time, since a machine that others use must not decide who finishes.

        Raises:
            SystemFailedError: it failed, ended, or took longer than the limit (and is ended then).
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise SystemFailedError("no pipes")
        try:
            stdin.write(json.dumps(command) + "\n")
            stdin.flush()
        except BrokenPipeError as error:
            raise SystemFailedError(f"its process ended, see {self._log.name}") from error
        began = _cpu_seconds(self.pid)
        while not select.select([stdout], [], [], _LOOKED_EVERY_S)[0]:
            if _cpu_seconds(self.pid) - began > limit_s:
                self.end()
                raise SystemFailedError(f"{command['do']}: not finished within {limit_s:.0f} CPU s")
        line = stdout.readline()
        if not line:
            raise SystemFailedError(f"{command['do']}: its process ended, see {self._log.name}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SystemFailedError(f"{command['do']}: {answer['error']}")
        return answer

    def search(
        self,
        queries: Path,
        setting: dict[str, int],
        *,
        start: int = 0,
        stop: int | None = None,
        top_k: int = 10,
        allowed: Path | None = None,
    ) -> Answered:
        """Asks the queries of a .npy file, one at a time."""
        with tempfile.NamedTemporaryFile(suffix=".npy") as found:
            command = {"do": "search", "queries": str(queries), "setting": setting, "start": start, "stop": stop}
            command |= {"top_k": top_k, "found": found.name, "allowed": allowed and str(allowed)}
            answer = self.ask(command)
            rows = np.load(found.name)
        cpu, wall = (np.array(answer[kind], dtype=np.float64) / 1e6 for kind in ("cpu", "wall"))
        return Answered(rows, cpu, wall, answer["faults"])

    def end(self) -> None:
        """Ends the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._log.close()


class MemoryWatch:
    """Watches the anonymous memory of a process and its children while a block runs.

    Attributes:
        base, peak: their sum where the block began, and at its highest.
    """

    def __init__(self, pid: int) -> None:
        self.base = self.peak = anonymous_bytes(pid)
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        children: list[int] = []
        samples = 0
        while not self._over.wait(_SAMPLED_EVERY_S):
            if samples % _CHILDREN_EVERY == 0:
                children = _children(self._pid)
            samples += 1
            self.peak = max(self.peak, sum(_anonymous_or_none(pid) for pid in (self._pid, *children)))


def _children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []


def _anonymous_or_none(pid: int) -> int:
    try:
        return anonymous_bytes(pid)
    except (OSError, SystemExit):  # it ended: a zombie has no memory
        return 0


def wait_until_ready(process: SystemProcess, *, limit_s: float = 120.0) -> int:
    """Waits until the libraries of a process are loaded; returns its anonymous memory then."""
    return int(process.ask({"do": "memory"}, limit_s=limit_s)["anonymous"])


def _cpu_seconds(pid: int) -> float:
    """Returns the CPU seconds of a process, threads included."""
    try:
        return cpu_s_in(stat_fields(Path(f"/proc/{pid}/stat")))
    except OSError:  # it ended: its pipe says so
        return 0.0


def mapped_bytes(pid: int, folder: Path) -> int:
    """Returns the bytes of the files under a folder that a process maps: page cache, which can be taken away again."""
    mapped = 0
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        place, *_, path = line.split(maxsplit=5)
        if path.startswith(f"{folder}/"):
            start, end = (int(address, 16) for address in place.split("-"))
            mapped += end - start
    return mapped


def folder_bytes(folder: Path) -> int:
    """Returns the bytes of the files under a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
