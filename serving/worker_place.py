"""One place for a worker: who stands there, how those before ended, and whether another one is started."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass, field

from serving.pulse import HangWatch
from vitrine.processes.crash_loops import Death, Limits, judge, remembered
from vitrine.processes.table import ProcessIdentity

# As for services, but a worker is back within seconds, and what a person kills by hand a few times comes back at once.
LIMITS = Limits(first_pause_s=0.25, longest_pause_s=30.0, short_lives=10)


@dataclass
class WorkerPlace:
    """One place for a worker.

    Attributes:
        watch: looks at whoever stands there.
        identity: the process that stands there, if one does.
        child: the process, if this agent started it; an earlier agent's worker is nobody's child.
        began: when it started, by this process's clock.
        kill_at: set once it was asked to end.
        hang: why it was killed, if nobody asked it to end.
        is_outdated: it was made of other settings or other code, and is to be replaced.
        not_before: when the next one may be started, by this process's clock.
        gave_up: why none is started any more, or nothing.
    """

    watch: HangWatch
    identity: ProcessIdentity | None = None
    child: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    kill_at: float | None = None
    hang: str = ""
    is_outdated: bool = False
    not_before: float = 0.0
    gave_up: str = ""
    _deaths: list[Death] = field(default_factory=list)

    def end_of_life(self, *, last_words: str, now: float) -> str:
        """Says how a worker ended that was not asked to: its status or signal, its age, and why if that is known."""
        why = f"it hung: {self.hang}" if self.hang else last_words
        end = "with unknown status" if self.child is None else _end_of(self.child)
        return f"ended {end} after {now - self.began:.0f} s" + (f" ({why})" if why else "")

    def count_death(self, reason: str, *, now: float) -> float:
        """Counts an end that nobody asked for; returns the pause until the next start, or gives the place up."""
        lived_s = now - self.began if self.identity is not None and self.watch.was_ready else 0.0
        self._deaths = [*remembered(self._deaths, now=now), Death(at=now, lived_s=lived_s)]
        verdict = judge(self._deaths, LIMITS)
        self.not_before = now + verdict.pause_s
        if verdict.crash_loop:
            self.gave_up = f"{verdict.crash_loop}, last it {reason}"
        return verdict.pause_s

    def empty(self) -> None:
        """Nobody stands here any more."""
        self.identity, self.child, self.kill_at, self.hang = None, None, None, ""

    def begin_anew(self) -> None:
        """Forgets what happened here: the next worker is started at once."""
        self._deaths, self.not_before, self.gave_up = [], 0.0, ""


def _end_of(child: subprocess.Popen[bytes]) -> str:
    status = child.returncode
    if status >= 0:
        return f"with status {status}"
    return "by " + next((one.name for one in signal.Signals if one == -status), f"signal {-status}")
