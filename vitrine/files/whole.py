"""Files and folders that are there whole or not at all, whoever is killed while they are written.

What is unfinished lies beside its place, under a hidden name that ends in `.partial`.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def replace_file(path: Path, data: bytes, *, private: bool = False, durably: bool = True) -> None:
    """Writes a file beside its place and moves it there. Of several writers at once, the last one's file stays.

    Args:
        path: its place.
        data: all that it holds.
        private: only its owner can read it.
        durably: also when the power fails, it is the old one or the new one.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.partial")
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if private else 0o666)
        with os.fdopen(handle, "wb") as file:
            if private:
                os.fchmod(handle, 0o600)
            file.write(data)
            if durably:  # a rename may reach the disk before what was written does
                file.flush()
                os.fsync(handle)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def whole_file(path: Path, *, durably: bool = False) -> Iterator[Path]:
    """Yields where to write a file, and moves it to its place when the block ends well. One writer at a time.

    Args:
        path: its place.
        durably: also when the power fails, it is the old one or the new one.
    """
    with beside(path) as partial:
        yield partial
        if durably:
            _reach_disk(partial)
        partial.replace(path)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yields where to make a folder, and moves it to its place when the block ends well. One writer at a time.

    Args:
        path: its place.
        replace: a folder that is there goes.

    Raises:
        OSError: one is there that is not empty, and is not to be replaced.
    """
    with beside(path) as partial:
        yield partial
        if replace:
            replace_folder(partial, path)
        else:
            partial.rename(path)


def replace_folder(made: Path, path: Path) -> None:
    """Moves a folder to its place; one that is there goes, and nothing is there for a moment between the two."""
    old = path.with_name(f".{path.name}.old")
    _remove(old)  # of a process that was killed
    if path.is_dir():
        path.rename(old)
    made.rename(path)
    _remove(old)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yields a path on the same disk at which nothing lies; what the block leaves there is removed."""
    partial = path.with_name(f".{path.name}.partial")
    _remove(partial)  # of a process that was killed
    try:
        yield partial
    finally:
        _remove(partial)


def _reach_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
