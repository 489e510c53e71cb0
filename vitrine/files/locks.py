"""Locks between the processes of this machine, and between threads, on a file. The system frees those of the dead."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock of a file for the length of a block, and waits for whoever holds it now.

    The file is made when it is not there and stays: one that was removed would be locked under two names.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        take_lock(file)
        yield


def take_lock(file: IO[Any], *, shared: bool = False, wait: bool = True) -> bool:
    """Takes the lock of an open file; it is given back when the file is closed or its process ends.

    Args:
        file: open in any mode.
        shared: with others that share it, and against those that want it alone.
        wait: for those who hold it.

    Returns:
        Whether it was taken; always, when it waits.
    """
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, how if wait else how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
