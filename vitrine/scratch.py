"""Scratch folders: each piece of work has its own, and what a killed one left is swept by the next."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitrine.settings import Settings

_LOCK = ".lock"


@contextmanager
def scratch_folder(settings: Settings, purpose: str) -> Iterator[Path]:
    """Yields an empty folder under `<state_dir>/scratch/` that is removed at the end."""
    parent = settings.state_dir / "scratch"
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=parent))
    with (folder / f"{_LOCK}.new").open("w") as lock:
        # Held for as long as this process lives: the sign that the folder is in use. It gets its name once it is held,
        # so that no sweep meets it open.
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / f"{_LOCK}.new").rename(folder / _LOCK)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Removes folders whose process is gone: the system freed their locks."""
    for path in parent.glob(f"*/{_LOCK}"):
        try:
            with path.open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.parent, ignore_errors=True)
        except (BlockingIOError, FileNotFoundError):
            continue
