"""Waits for what a test needs to happen: looked for again and again, for as long as a busy machine may take."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import TypeVar

from vitrine.processes.table import identify, thread_states

Found = TypeVar("Found")


def wait_for(look: Callable[[], Found | None], *, what: str, timeout_s: float = 900.0, every_s: float = 0.05) -> Found:
    """Returns what `look` finds, as soon as it finds it.

    Args:
        look: asked again and again.
        what: is waited for, for the message.
        timeout_s: after which it is given up.
        every_s: how long nobody looks; more where looking costs a service something.

    Raises:
        TimeoutError: it found nothing in time.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(every_s)
    raise TimeoutError(f"{what} was not seen within {timeout_s:.0f} s")


def is_gone(pid: int) -> bool:
    """Tells whether a process has ended."""
    return identify(pid) is None


def suspend(pid: int) -> None:
    """Sends SIGSTOP, and returns once it holds every thread of the process: a signal is sent before it is obeyed."""
    os.kill(pid, signal.SIGSTOP)
    identity = identify(pid)
    assert identity is not None, f"process {pid} has ended"
    wait_for(lambda: set(thread_states(identity)) == {"T"}, what=f"the suspension of process {pid}")
