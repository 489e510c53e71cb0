"""What a build takes by phases: CPU seconds, anonymous memory, and the batches of vectors that it reads.

Runs in this project's environment and in that of the peers, so it imports nothing but numpy.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

BATCH_ROWS = 8_192


def batches(vectors: Any, *, start: int = 0, stop: int | None = None) -> Iterator[Any]:
    """Yields rows as an index takes them: (n, dimension), float32, unit L2 norm."""
    for first in range(start, len(vectors) if stop is None else stop, BATCH_ROWS):
        batch = np.asarray(vectors[first : min(first + BATCH_ROWS, stop or len(vectors))], dtype=np.float32)
        yield batch / np.linalg.norm(batch, axis=1, keepdims=True)


class Phases:
    """CPU seconds of the phases of a build, all threads and the processes that it waited for."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}
        self._last = _cpu_s()

    def ends(self, name: str) -> None:
        """Says that the phase `name` ended now."""
        now = _cpu_s()
        self.cpu_s[name] = now - self._last
        self._last = now


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def anonymous_bytes(pid: int | str = "self") -> int:
    """Returns the anonymous memory of a process: what no file on disk stands behind."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this benchmark needs Linux: /proc/self/status has no RssAnon")
