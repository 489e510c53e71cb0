"""A worker's pulse: a file that it touches for as long as it can answer, and what silence says about it.

A short silence alone says little: on a busy machine a healthy worker may not run for seconds. Then its threads wait for
a core or for a disk, and the system shows that. A worker is hung when a signal holds it, when its pulse is silent while
none of its threads has anything to do, or when it has been silent for far too long, whatever its threads do.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrine.processes.table import ProcessIdentity, state_of, thread_states

PULSE_S = 0.5
# A disk or a decoder's deadline may hold one answer for seconds; no sound answer takes as long as this.
STUCK_ANSWER_S = 60.0
LOOK_S = 0.2
_STOPPED_LOOKS = 5
_QUIET_LOOKS = 5
_ANSWERING = "answer"  # how the front names the threads that run the app

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class Patience:
    """How long a worker may be silent before it counts as hung.

    Attributes:
        idle_s: while none of its threads does anything.
        busy_s: whatever they do.
    """

    idle_s: float
    busy_s: float


# What is slow (faiss, OpenVINO, SQLite, reading a release through) lets other threads run meanwhile, so loading or
# searching a large release keeps no pulse back: 0.03 s at most beside faiss. A minute of busy answers comes on top.
ANSWERING = Patience(idle_s=4.0, busy_s=120.0)
# Before the first pulse nothing is heard of what goes on. A file system may keep its reader in a state that looks idle,
# and an hour reads 360 GB at 100 MB/s; one that is ended begins again, so the limits are generous.
LOADING = Patience(idle_s=600.0, busy_s=3_600.0)


class AnswerWatch:
    """Wraps the app, and knows since when each of the threads that answer is at its present request."""

    def __init__(self, app: WsgiApp, *, threads: int) -> None:
        self._app = app
        self._threads = threads
        self._begun: dict[int, float] = {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answers a request as the app does."""
        if not threading.current_thread().name.startswith(_ANSWERING):
            return self._app(environ, start_response)
        me = threading.get_ident()
        self._begun[me] = time.monotonic()
        try:
            return self._app(environ, start_response)
        finally:
            self._begun.pop(me, None)

    def is_stuck(self) -> bool:
        """Tells whether every thread that answers has been at one request for far too long."""
        latest = time.monotonic() - STUCK_ANSWER_S
        return sum(begun < latest for begun in list(self._begun.values())) >= self._threads


def start_pulse(path: Path, loop: asyncio.AbstractEventLoop, watch: AnswerWatch) -> None:
    """Touches `path` every `PULSE_S` in a thread, as long as the event loop turns and requests are answered."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def beat() -> None:
        while True:
            turned = threading.Event()
            try:
                loop.call_soon_threadsafe(turned.set)
            except RuntimeError:  # the loop has ended in order
                return
            turned.wait()
            if not watch.is_stuck():
                os.utime(descriptor)
            time.sleep(PULSE_S)

    threading.Thread(target=beat, name="pulse", daemon=True).start()


def last_pulse(path: Path) -> int | None:
    """Returns the time of the last pulse in nanoseconds since 1970, or None before the first."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def has_work(identity: ProcessIdentity) -> bool:
    """Tells whether a thread of a process does anything, or waits for a core or a disk."""
    return bool(set(thread_states(identity)) - {"S"})


def hang_reason(*, silent_s: float, idle_s: float, is_loading: bool) -> str:
    """Returns why a silent worker is hung, or nothing while it may only be slow.

    Args:
        silent_s: since its last pulse, or since its start if there was none.
        idle_s: for which it has been silent and without work.
        is_loading: whether it has given no pulse yet.
    """
    patience = LOADING if is_loading else ANSWERING
    what = "loaded" if is_loading else "answered"
    if idle_s >= patience.idle_s:
        return f"it has not {what} for {idle_s:.0f} s, and none of its threads does anything"
    if silent_s >= patience.busy_s:
        return f"it has not {what} for {silent_s:.0f} s, whatever its threads do"
    return ""


class HangWatch:
    """Looks at one worker again and again, and counts what it sees.

    Looks are counted, not seconds: an agent that was itself stopped for a while has seen nothing in that time.
    """

    def __init__(self, pulse: Path) -> None:
        self._pulse = pulse
        self._seen: int | None = None
        self._stopped = 0
        self._silent = 0
        self._idle = 0

    @property
    def was_ready(self) -> bool:
        """Whether it has seen a pulse."""
        return self._seen is not None

    def look(self, identity: ProcessIdentity) -> str:
        """Returns why a worker is hung, or nothing."""
        self._stopped = self._stopped + 1 if state_of(identity) == "T" else 0
        if self._stopped >= _STOPPED_LOOKS:
            return "it is stopped by a signal (SIGSTOP)"
        pulse = last_pulse(self._pulse)
        if pulse != self._seen:
            self._seen, self._silent, self._idle = pulse, 0, 0
            return ""
        self._silent, self._idle = self._silent + 1, self._idle + 1
        # Between two pulses most looks see none: only then is it worth to read the states of all threads.
        if self._silent > _QUIET_LOOKS and has_work(identity):
            self._idle = _QUIET_LOOKS
        return hang_reason(silent_s=self._silent * LOOK_S, idle_s=self._idle * LOOK_S, is_loading=not self.was_ready)
