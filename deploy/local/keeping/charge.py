"""One service in the keeper's charge: looked at again and again, brought back when it died or hangs."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from signal import SIGCONT, SIGKILL

from deploy.local import postgres, processes, supervisor
from deploy.local.configuration import Configuration
from deploy.local.keeping import wish
from deploy.local.keeping.hangs import Patience
from deploy.local.keeping.history import History, read_history, write_history
from deploy.local.keeping.observer import Observer, suspension
from deploy.local.layout import Layout
from deploy.local.processes import ProcessIdentity
from deploy.local.services import Service
from deploy.local.supervisor import Record, ServiceError
from vitrine.processes.crash_loops import Death, Limits

log = logging.getLogger("vitrine.keeper")

_LOOK_S = 1.0
_ASK_CALM_S = 10.0  # between two questions to a service that answers
_SLICE_S = 0.2
_EXCUSED_S = 60.0  # after what it needs has come back
_HANGING_GRACE_S = 30.0  # PostgreSQL writes its memory to disk while it ends
_LEAVING_S = 30.0  # for a killed process to leave a busy machine
_LEFTOVERS_S = 5.0  # for what a dead leader left to end by itself


class Charge:
    """What the keeper knows of one service; only its own thread calls `round`.

    Attributes:
        name: of the service.
        is_ready: whether it answered when it was asked last.
    """

    def __init__(
        self,
        name: str,
        layout: Layout,
        *,
        limits: Limits,
        patience: Patience,
        ended: threading.Event,
        charges: Callable[[], Mapping[str, Charge]],
    ) -> None:
        self.name = name
        self.is_ready = False
        self._layout = layout
        self._limits, self._patience = limits, patience
        self._ended = ended
        self._charges = charges
        self._observer: Observer | None = None
        self._unready_at = time.monotonic()
        self._asked_at = 0.0

    def round(self, service: Service, configuration: Configuration) -> None:
        """Looks at the service once, and does what is due; takes about a second."""
        record = supervisor.read_record(self._layout, self.name)
        if record is None:  # `make up` has not started it yet
            self._note(answers=False)
            self._ended.wait(_LOOK_S)
        elif processes.is_dying(record.leader):
            self._note(answers=False)
            self._bring_back(service, configuration)
        else:
            if self._observer is None or self._observer.record != record:
                self._observer, self._asked_at = Observer(record, self._patience), 0.0
            self._look(service, configuration, self._observer)
            _wait_for_end(record.leader, timeout_s=_LOOK_S)

    def was_away(self) -> bool:
        """Tells whether it does not answer, or did not until a moment ago."""
        return not self.is_ready or time.monotonic() - self._unready_at < _EXCUSED_S

    def _look(self, service: Service, configuration: Configuration, observer: Observer) -> None:
        is_calm = self.is_ready and time.monotonic() - self._asked_at < _ASK_CALM_S
        if is_calm and not observer.is_held(service):
            return
        self._asked_at = time.monotonic()
        can_answer = all(charge.is_ready for charge in self._those((*service.needs, *service.told_by)))
        found = observer.look(service, configuration, can_answer=can_answer)
        if found.answers != self.is_ready:
            log.info("%s: %s", self.name, "ready" if found.answers else "does not answer")
        self._note(answers=found.answers)
        if found.to_continue:
            self._continue(found.to_continue)
        elif found.hangs:
            self._end_hanging(service, configuration, observer.record, found.hangs)

    def _continue(self, held: Iterable[ProcessIdentity]) -> None:
        with wish.beside_others(self._layout) as may:
            if may:
                reason = suspension(held)
                processes.send(held, SIGCONT)
                write_history(self._layout, self.name, self._history().with_continuation(reason))
                log.warning("%s: %s; it goes on", self.name, reason)

    def _end_hanging(self, service: Service, configuration: Configuration, record: Record, reason: str) -> None:
        with wish.beside_others(self._layout) as may:
            if not may or supervisor.read_record(self._layout, self.name) != record:
                return
            log.warning("%s: %s; it is ended", self.name, reason)
            self._write_death(record, reason)
            end_hanging(service, record, configuration)

    def _bring_back(self, service: Service, configuration: Configuration) -> None:
        """Starts a service whose leader died, when that is due; otherwise waits a little."""
        with wish.beside_others(self._layout) as may:
            record = supervisor.read_record(self._layout, self.name)
            if not may or record is None or not processes.is_dying(record.leader):
                self._ended.wait(_SLICE_S)
                return
            history = self._history()
            if history.dead != _key(record.leader):
                is_excused = any(charge.was_away() for charge in self._those(service.needs))
                history = self._write_death(record, self._cause(), excused=is_excused)
            can_start = all(charge.is_ready for charge in self._those(service.needs))
            if can_start and history.gave_up is None and time.time() >= history.next_at:
                self._start(service, configuration, record, history)
                return
        self._ended.wait(_SLICE_S)

    def _start(self, service: Service, configuration: Configuration, record: Record, history: History) -> None:
        clear_away(service, record, configuration)
        try:
            started = supervisor.start(service, configuration)
        except ServiceError as error:
            # The record is still that of the process before, however long that one lived.
            self._write_death(record, str(error).splitlines()[0], lived_s=0.0)
            return
        write_history(self._layout, self.name, history.with_restart())
        log.warning("%s: started again, process %s", self.name, started.leader.pid)

    def _write_death(
        self, record: Record, reason: str, *, excused: bool = False, lived_s: float | None = None
    ) -> History:
        now = time.time()
        if lived_s is None:
            was_ready = self._observer is not None and self._observer.record == record and self._observer.was_ready
            lived_s = now - record.started_at if was_ready else 0.0
        death = Death(at=now, lived_s=lived_s, is_excused=excused)
        history = self._history().with_death(death, dead=_key(record.leader), reason=reason, limits=self._limits)
        write_history(self._layout, self.name, history)
        pause_s = history.next_at - now
        what = f"given up: {history.gave_up}" if history.gave_up else f"starts again in {max(0.0, pause_s):.0f} s"
        log.warning("%s: process %s: %s; %s", self.name, record.leader.pid, reason, what)
        return history

    def _note(self, *, answers: bool) -> None:
        self.is_ready = answers
        if not answers:
            self._unready_at = time.monotonic()

    def _those(self, names: Iterable[str]) -> list[Charge]:
        return [charge for name, charge in self._charges().items() if name in names]

    def _history(self) -> History:
        return read_history(self._layout, self.name)

    def _cause(self) -> str:
        lines = supervisor.log_tail(self._layout.logs / f"{self.name}.log").strip().splitlines()
        return f"ended; the last line of its log is: {lines[-1].strip()[:200]}" if lines else "ended"


def clear_away(service: Service, record: Record, configuration: Configuration) -> None:
    """Ends what a dead leader has left, so that the next one can start; survivors that it takes over stay.

    Raises:
        ServiceError: a process does not end.
    """
    layout = configuration.layout
    if service.survivors_are_adopted:  # those of other settings too: the next leader replaces them one by one
        # A leader that was started in the moment in which its starter was killed stands in no record.
        leaders = {record.leader} | _leading(service, record, configuration)
        processes.send(leaders, SIGKILL)
        processes.wait_for_end(leaders, timeout_s=_LEAVING_S)
    else:
        supervisor.stop(layout, configuration.credentials.mark, [record], grace_s=_LEFTOVERS_S, forget=False)
    if service.name == "postgres":
        postgres.remove_stale_locks(layout)


def end_hanging(service: Service, record: Record, configuration: Configuration) -> None:
    """Ends a service that hangs, so that it can be started again; of one whose survivors are adopted only the leader.

    Raises:
        ServiceError: a process does not end.
    """
    if service.survivors_are_adopted:  # a signal that it may answer would have it end the others
        processes.send([record.leader], SIGKILL)
        processes.wait_for_end([record.leader], timeout_s=_LEAVING_S)
    else:
        mark = configuration.credentials.mark
        supervisor.stop(configuration.layout, mark, [record], grace_s=_HANGING_GRACE_S, forget=False)
    clear_away(service, record, configuration)


def _leading(service: Service, record: Record, configuration: Configuration) -> set[ProcessIdentity]:
    """Returns the processes of a service that run its very command; those that they started run others."""
    found = supervisor.find_processes(configuration.layout, configuration.credentials.mark, record)
    return {one for one in found if processes.command_of(one) == service.command}


def _key(identity: ProcessIdentity) -> str:
    return f"{identity.pid} {identity.started}"


def _wait_for_end(identity: ProcessIdentity, *, timeout_s: float) -> None:
    """Waits until a process has ended, at most so long."""
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        if processes.is_alive(identity):
            waiting = select.poll()
            waiting.register(handle, select.POLLIN)
            waiting.poll(timeout_s * 1000)
    finally:
        os.close(handle)
