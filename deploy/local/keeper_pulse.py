"""The pulse of the two keepers: a file that each touches with every round, since neither has a port to be asked at."""

from __future__ import annotations

import time
from pathlib import Path

from deploy.local.layout import Layout

EVERY_S = 1.0
_LATE_S = 30.0


def beat(layout: Layout, name: str) -> None:
    """Says that this keeper has begun another round."""
    _path(layout, name).touch(0o600)


def last(layout: Layout, name: str) -> float | None:
    """Returns the time of a keeper's last round (Unix seconds), or None if it never began one."""
    try:
        return _path(layout, name).stat().st_mtime
    except OSError:
        return None


def beats(layout: Layout, name: str, *, since: float) -> bool:
    """Tells whether a keeper has begun a round since this time (Unix seconds), and lately."""
    return was_written(_path(layout, name), since=since, within_s=_LATE_S)


def was_written(path: Path, *, since: float, within_s: float) -> bool:
    """Tells whether a file that a process writes again and again was written since then (Unix seconds), and lately."""
    try:
        written = path.stat().st_mtime
    except OSError:
        return False
    now = time.time()
    is_later = written >= since or since > now  # the clock was set back: the start lies in the future
    return is_later and now - written < within_s


def _path(layout: Layout, name: str) -> Path:
    return layout.histories / f"{name}.pulse"
