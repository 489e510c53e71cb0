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
        idle_share: of one CPU, below which a process does no work.
    """

    suspended_s: float = 2.0
    idle_s: float = 60.0
    busy_s: float = 600.0
    least_questions: int = 6
    idle_share: float = 0.005


class Silence:
    """How long one service has not answered, and whether it worked meanwhile."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._questions = 0
        self._since = 0.0
        self._cpu_s = 0.0
        self._worked_s = 0.0
        self._has_worked = False

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
        if self._questions == 0:
            self._since, self._cpu_s, self._worked_s, self._has_worked = now, cpu_s, 0.0, False
        self._questions += 1
        self._worked_s += abs(cpu_s - self._cpu_s)
        self._cpu_s = cpu_s
        self._has_worked = self._has_worked or wants_to_work
        silent_s = now - self._since
        if self._questions < self._patience.least_questions:
            return None
        if was_ready and silent_s >= self._patience.busy_s:
            return f"did not answer for {silent_s:.0f} s"
        is_idle = not self._has_worked and self._worked_s < self._patience.idle_share * silent_s
        if is_idle and silent_s >= self._patience.idle_s:
            return f"did not answer for {silent_s:.0f} s and did nothing meanwhile"
        return None
