"""What a person asked for last, and whose turn it is to start and end services.

`make up` and `make down` take turns and exclude everybody else; the keeper's restarts exclude only those two. The wish
is written before anything is ended, so that a `make down` that is killed halfway stays a wish to be down.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import IO

from deploy.local import processes
from deploy.local.layout import Layout, write_private
from deploy.local.processes import ProcessIdentity
from vitrine.files.locks import take_lock

_UP, _DOWN = "up", "down"
_AGAIN_S = 0.2


@dataclass(frozen=True)
class Turn:
    """A command that starts or ends services, and excludes everybody else.

    Attributes:
        process: that runs it.
        since: Unix seconds.
    """

    process: ProcessIdentity
    since: float

    def __str__(self) -> str:
        pid = self.process.pid
        if processes.suspended([self.process]):
            return f"process {pid}, which a signal (Ctrl-Z, SIGSTOP) holds: `kill -CONT {pid}` lets it go on"
        return f"process {pid} ({' '.join(processes.command_of(self.process))[:200]})"


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
def alone(
    layout: Layout, report: Callable[[str], None], *, while_waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Waits for its turn; nobody else starts or ends a service meanwhile.

    Args:
        layout: of the platform.
        report: told whom it waits for.
        while_waiting: called again and again until it is its turn.
    """
    with _opened(layout) as file:
        if not take_lock(file, wait=False):
            report(f"waiting for another command that starts or ends services: {whose_turn(layout) or 'a restart'}")
            while not take_lock(file, wait=False):
                while_waiting()
                time.sleep(_AGAIN_S)
        _note_turn(file)
        try:
            yield
        finally:
            file.truncate(0)


def whose_turn(layout: Layout) -> Turn | None:
    """Returns the command whose turn it is, or None; the keepers' restarts take no turn."""
    try:
        body = json.loads(layout.lock.read_text(encoding="utf-8"))
        turn = Turn(ProcessIdentity(**body["process"]), body["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return turn if processes.is_alive(turn.process) else None  # one that was killed has left its name


@contextlib.contextmanager
def beside_others(layout: Layout) -> Iterator[bool]:
    """Yields whether services may be brought back: a person wants them, and no `make up` or `make down` is at work."""
    with _opened(layout) as file:
        yield take_lock(file, shared=True, wait=False) and is_up(layout)


def _note_turn(file: IO[bytes]) -> None:
    process = processes.identify(os.getpid())
    if process is not None:
        file.truncate(0)
        file.write(json.dumps(asdict(Turn(process, time.time()))).encode())
        file.flush()


def _opened(layout: Layout) -> IO[bytes]:
    return os.fdopen(os.open(layout.lock, os.O_RDWR | os.O_CREAT, 0o600), "wb")
