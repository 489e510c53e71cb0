"""Whether a service that does not answer hangs, or is only slow: patience is long, because the machine may be busy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long a service may leave questions unanswered before it is ended and started again.

    Attributes:
        suspended_s: for which SIGSTOP may hold it before it is told to go on (SIGCONT, no restart).
        idle_s: without an answer and without work: it waits for something that will not come.
        busy_s: without an answer, though it uses the CPU; one that was never ready may go on, since it would begin
            again: a long recovery of a database, the files of a large release.
        least_questions: that were left unanswered; a keeper that gets no CPU itself asks few.
        idle_share: of one CPU, below which a process does no work: it takes less than this share of `idle_s`.
    """

    suspended_s: float = 2.0
    idle_s: float = 60.0
    busy_s: float = 600.0
    least_questions: int = 6
    idle_share: float = 0.005


class Silence:
    """How long one service has not answered, and since when it has done nothing."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._questions = 0
        self._since = 0.0
        self._cpu_s = 0.0
        self._idle_since = 0.0
        self._idle_questions = 0
        self._worked_s = 0.0

    def answered(self) -> None:
        """Ends the silence."""
        self._questions = 0

    def unanswered(
        self, *, now: float, cpu_s: float, wants_to_work: bool = False, was_ready: bool = True
    ) -> str | None:
        """Counts another question without an answer; returns why the service hangs, or None while it may be slow.

        Args:
            now: monotonic seconds.
            cpu_s: CPU seconds that the service's processes have used so far. Less than before means that one of them
                has ended, which counts as work too.
            wants_to_work: whether one of them is at work now, or waits for a CPU or a disk.
            was_ready: whether the service has answered since its start.
        """
        patience = self._patience
        if self._questions == 0:
            self._since, self._cpu_s = now, cpu_s
            self._be_idle_from(now)
        self._questions += 1
        self._idle_questions += 1
        self._worked_s += abs(cpu_s - self._cpu_s)
        self._cpu_s = cpu_s
        if wants_to_work or self._worked_s >= patience.idle_share * patience.idle_s:
            self._be_idle_from(now)
        silent_s, idle_s = now - self._since, now - self._idle_since
        if was_ready and silent_s >= patience.busy_s and self._questions >= patience.least_questions:
            return f"did not answer for {silent_s:.0f} s"
        if idle_s >= patience.idle_s and self._idle_questions >= patience.least_questions:
            return f"did not answer for {silent_s:.0f} s and did nothing for the last {idle_s:.0f} s"
        return None

    def _be_idle_from(self, now: float) -> None:
        self._idle_since, self._idle_questions, self._worked_s = now, 0, 0.0
