"""Scratch folders: each piece of work has its own, and what a killed one left is swept by the next."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from vitrine.files.locks import locked, take_lock
from vitrine.settings import Settings

_LOCK = ".lock"


@contextmanager
def scratch_folder(settings: Settings, purpose: str) -> Iterator[Path]:
    """Yields an empty folder under `<state_dir>/scratch/` that is removed at the end."""
    with swept_folder(scratch_parent(settings.state_dir), purpose) as folder:
        yield folder


@contextmanager
def swept_folder(parent: Path, purpose: str) -> Iterator[Path]:
    """Yields an empty folder below `parent` that is removed at the end; what killed processes left there goes first."""
    parent.mkdir(parents=True, exist_ok=True)
    with _held(parent):
        _sweep(parent)
        folder = Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=parent.resolve()))
        lock = (folder / _LOCK).open("w")
        take_lock(lock)  # for as long as this process lives: the sign that the folder is in use
    with lock:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep_scratch(settings: Settings) -> None:
    """Removes the scratch folders of processes that are gone."""
    if (parent := scratch_parent(settings.state_dir)).is_dir():
        with _held(parent):
            _sweep(parent)


def scratch_parent(state_dir: Path) -> Path:
    """Returns where scratch folders lie."""
    return state_dir / "scratch"


def _held(parent: Path) -> AbstractContextManager[None]:
    """Keeps others from sweeping while a folder is made: until it is locked it looks like one that was left."""
    return locked(parent.with_name(f".{parent.name.lstrip('.')}{_LOCK}"))


def _sweep(parent: Path) -> None:
    """Removes the folders that nobody holds: the system frees the locks of a process that dies."""
    for folder in parent.iterdir():
        if not folder.is_dir() or folder.is_symlink():
            continue
        try:
            with (folder / _LOCK).open("r") as lock:
                if not take_lock(lock, wait=False):
                    continue
        except FileNotFoundError:  # killed before it was locked, or removed meanwhile
            pass
        shutil.rmtree(folder, ignore_errors=True)
