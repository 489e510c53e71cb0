"""What a person asked for last, and whose turn it is to start and end services.

`make up` and `make down` take turns and exclude everybody else; the keeper's restarts exclude only those two. The wish
is written before anything is ended, so that a `make down` that is killed halfway stays a wish to be down.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from typing import IO

from deploy.local.layout import Layout, write_private

_UP, _DOWN = "up", "down"


def is_up(layout: Layout) -> bool:
    """Tells whether a person wants the services to run."""
    try:
        return layout.wish.read_text(encoding="utf-8") == _UP
    except (OSError, ValueError):
        return False


def write_up(layout: Layout) -> None:
    """Has the keeper bring back from now on what dies."""
    write_private(layout.wish, _UP)


def write_down(layout: Layout) -> None:
    """Has the keeper leave alone from now on what ends."""
    write_private(layout.wish, _DOWN)


@contextlib.contextmanager
def alone(layout: Layout, report: Callable[[str], None]) -> Iterator[None]:
    """Waits for its turn; nobody else starts or ends a service meanwhile."""
    with _opened(layout) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another command that starts or ends services")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def beside_others(layout: Layout) -> Iterator[bool]:
    """Yields whether services may be brought back: a person wants them, and no `make up` or `make down` is at work."""
    with _opened(layout) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield is_up(layout)


def _opened(layout: Layout) -> IO[bytes]:
    return os.fdopen(os.open(layout.lock, os.O_RDWR | os.O_CREAT, 0o600), "wb")
