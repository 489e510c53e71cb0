"""A worker's pulse: a file that it touches for as long as it can answer, and what silence says about it.

Silence alone says little: on a busy machine a healthy worker may not run for seconds. Then its threads wait for a core
or for a disk, and the system shows that. A worker is hung when a signal holds it, or when its pulse is silent while
none of its threads has anything to do.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from vitrine.process_table import ProcessIdentity, state_of, thread_states

PULSE_S = 0.5
# A disk or a decoder's deadline may hold one answer for seconds; no sound answer takes as long as this.
STUCK_ANSWER_S = 60.0
LOOK_S = 0.2
_STOPPED_LOOKS = 5
_QUIET_LOOKS = 5
_SILENT_LOOKS = 20
_ANSWERING = "answer"  # how the front names the threads that run the app

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


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
    """Tells whether a thread of a process does anything, or waits for a core or a disk: it is slow, not hung."""
    return bool(set(thread_states(identity)) - {"S"})


class HangWatch:
    """Looks at one worker again and again, and counts what it sees.

    Looks are counted, not seconds: an agent that was itself stopped for a while has seen nothing in that time.
    """

    def __init__(self, pulse: Path) -> None:
        self._pulse = pulse
        self._seen: int | None = None
        self._stopped = 0
        self._silent = 0

    def look(self, identity: ProcessIdentity) -> str:
        """Returns why a worker is hung, or nothing."""
        self._stopped = self._stopped + 1 if state_of(identity) == "T" else 0
        if self._stopped >= _STOPPED_LOOKS:
            return "it is stopped by a signal (SIGSTOP)"
        pulse = last_pulse(self._pulse)
        if pulse is None or pulse != self._seen:
            self._seen, self._silent = pulse, 0
            return ""
        self._silent += 1
        # Between two pulses most looks see none: only then is it worth to read the states of all threads.
        if self._silent > _QUIET_LOOKS and has_work(identity):
            self._silent = _QUIET_LOOKS
        if self._silent >= _SILENT_LOOKS:
            return "it has not answered for seconds, and none of its threads does anything"
        return ""
