"""Looks at one running service: whether it answers, is suspended by a signal, or hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from signal import SIGCONT

from deploy.local import processes, supervisor
from deploy.local.configuration import Configuration
from deploy.local.keeping.hangs import Patience, Silence
from deploy.local.processes import ProcessIdentity
from deploy.local.services import Service
from deploy.local.supervisor import Record

_AGAIN_S = 0.2
_CHILDREN_S = 5.0  # between two looks at the children of a service that answers


@dataclass(frozen=True)
class Observation:
    """What one look has shown.

    Attributes:
        answers: the service is ready; a signal may still hold a child that its answer does not need.
        to_continue: processes that a signal has held for long enough; SIGCONT is due.
        hangs: why it must be ended and started again, or None.
    """

    answers: bool = False
    to_continue: frozenset[ProcessIdentity] = field(default=frozenset())
    hangs: str | None = None


class Observer:
    """What is known of one running process, the leader of a service."""

    def __init__(self, record: Record, patience: Patience) -> None:
        self.record = record
        self.was_ready = False
        self._patience = patience
        self._silence = Silence(patience)
        self._suspended_at: float | None = None
        self._children_at = 0.0

    def is_held(self, service: Service) -> bool:
        """Tells at little cost whether a signal holds the leader; of its children that is asked every few seconds."""
        now = time.monotonic()
        if self._suspended_at is None and now - self._children_at < _CHILDREN_S:
            return bool(processes.suspended([self.record.leader]))
        self._children_at = now
        return self._suspended_at is not None or bool(self._held(service))

    def look(self, service: Service, configuration: Configuration, *, can_answer: bool = True) -> Observation:
        """Asks the service once.

        Args:
            service: that runs.
            configuration: of the platform.
            can_answer: False while what the service needs is away; its silence then says nothing.
        """
        held = self._held(service)
        if self.record.leader not in held and service.is_ready(self.record.started_at):
            self.was_ready = True
            self._silence.answered()
            return Observation(answers=True, to_continue=self._due(held))
        if held:
            return Observation(to_continue=self._due(held))
        if not can_answer:
            self._silence.answered()
            return Observation()
        found = {self.record.leader}
        if not service.survivors_are_adopted:  # else the leader looks after the others itself
            found = supervisor.find_processes(configuration.layout, configuration.credentials.mark, self.record)
        if held := processes.suspended(found):
            return Observation(to_continue=self._due(held))
        self._suspended_at = None
        reason = self._silence.unanswered(
            now=time.monotonic(),
            cpu_s=processes.cpu_s(found),
            wants_to_work=processes.wants_to_work(found),
            was_ready=self.was_ready,
        )
        is_starting = not self.was_ready and time.time() - self.record.started_at < service.ready_timeout_s
        # One that listens on the port of older settings is asked in vain.
        is_as_wanted = self.record.specification == supervisor.specification(service, configuration)
        return Observation(hangs=None if is_starting or not is_as_wanted else reason)

    def _held(self, service: Service) -> set[ProcessIdentity]:
        leader = self.record.leader
        return processes.suspended([leader] if service.survivors_are_adopted else processes.tree_of(leader))

    def _due(self, held: set[ProcessIdentity]) -> frozenset[ProcessIdentity]:
        """Returns those whom a signal holds once it has held some of them for long enough."""
        now = time.monotonic()
        if not held:
            self._suspended_at = None
            return frozenset()
        if self._suspended_at is None:
            self._suspended_at = now
        if now - self._suspended_at < self._patience.suspended_s:
            return frozenset()
        self._suspended_at = None
        return frozenset(held)


def wait_for_answer(
    service: Service,
    record: Record,
    configuration: Configuration,
    *,
    can_answer: Callable[[], bool],
    cancelled: threading.Event,
) -> str | None:
    """Waits until a service that runs answers, or until `cancelled` is set; returns why it must be started again.

    One that a signal has suspended is told to go on.

    Args:
        service: that runs.
        record: of its process.
        configuration: of the platform.
        can_answer: tells whether what it needs to answer is there.
        cancelled: ends the waiting.
    """
    observer = Observer(record, Patience(suspended_s=3.0))
    while not cancelled.is_set():
        # First of all: for half a minute after its end Airflow calls a component healthy.
        if processes.is_dying(record.leader):
            return "has ended"
        found = observer.look(service, configuration, can_answer=can_answer())
        if found.answers:
            return None
        if found.hangs:
            return found.hangs
        processes.send(found.to_continue, SIGCONT)
        cancelled.wait(_AGAIN_S)
    return None


def suspension(held: Iterable[ProcessIdentity]) -> str:
    """Says what held a service up."""
    return f"a signal (SIGSTOP) had suspended process {', '.join(str(one.pid) for one in held)}"
