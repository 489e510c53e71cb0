"""What a failed test tells of the services that it used: their logs do not outlive the machine that ran them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_MOST_REPORTS = 3  # a service that is broken fails each test after the first, too
_sources: dict[str, Callable[[], str]] = {}
_reported: dict[str, int] = {}


@contextmanager
def evidence(fixture: str, tell: Callable[[], str]) -> Iterator[None]:
    """Has `tell` asked whenever a test fails that uses a fixture, until the block ends."""
    _sources[fixture] = tell
    try:
        yield
    finally:
        _sources.pop(fixture, None)


def told(fixtures: list[str]) -> list[tuple[str, str]]:
    """Returns (title, text) of each fixture of a failed test that has something to tell."""
    sections = []
    for fixture in fixtures:
        if fixture in _sources and _reported.setdefault(fixture, 0) < _MOST_REPORTS:
            _reported[fixture] += 1
            sections.append((f"logs of {fixture}; {_machine()}", _sources[fixture]()))
    return sections


def tails(paths: list[Path], *, lines: int = 30) -> str:
    """Returns the last lines of some logs, each below its name; what cannot be read says so."""
    return "\n".join(f"--- {path}\n{_tail(path, lines)}" for path in paths)


def _tail(path: Path, lines: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 32_768))
            return "\n".join(file.read().decode("utf-8", errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"(cannot be read: {error})"


def _machine() -> str:
    memory = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free_gb = int(memory["MemAvailable"].split()[0]) / 1e6
    disk_gb = shutil.disk_usage("/tmp").free / 1e9
    return f"load {os.getloadavg()[0]:.1f}, {free_gb:.1f} GB of memory and {disk_gb:.1f} GB of disk are free"
