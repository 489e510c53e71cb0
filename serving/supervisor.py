"""The worker processes of a replica: started, taken over from an agent that died, replaced when they die or hang."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from serving.listening import borrow, listen, listens_on
from serving.process_lock import lock_holder, lock_note
from serving.pulse import LOOK_S, HangWatch
from serving.replica_folder import ReplicaFolder
from serving.specification import worker_specification
from vitrine.errors import ContractError
from vitrine.process_table import ProcessIdentity, identify, is_alive, send, state_of
from vitrine.settings import Settings

log = logging.getLogger("vitrine.serving")

GRACE_S = 15.0
_CALM_S = 10.0  # a worker that lived this long is restarted at once
_MAX_PAUSE_S = 30.0
_SAY_EVERY_S = 5.0


@dataclass
class _Worker:
    """One place for a worker, and who stands there.

    Attributes:
        child: the process, if this agent started it; an earlier agent's worker is nobody's child.
        began: when it started, by this process's clock.
        kill_at: set once it was asked to end.
        is_hung: it was killed, and nobody asked it to end.
        is_outdated: it was made of other settings or other code, and is to be replaced.
    """

    watch: HangWatch
    identity: ProcessIdentity | None = None
    child: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    kill_at: float | None = None
    is_hung: bool = False
    is_outdated: bool = False
    pause_s: float = 0.0
    not_before: float = 0.0


class Supervisor:
    """Keeps `settings.search_workers` processes alive on one listening socket.

    Workers outlive this process. Each holds a lock of its own, so there is never a second one in its place, and each
    lends the socket: while a worker or the agent restarts, connections wait or go to another worker, none is refused.
    """

    def __init__(self, settings: Settings, folder: ReplicaFolder) -> None:
        self._settings = settings
        self._folder = folder
        self._lock = threading.Lock()
        self._workers = {index: self._place(index) for index in range(settings.search_workers)}
        self._socket: socket.socket | None = None
        self._specification = worker_specification(settings)
        self._replaced, self._last_replaced = 0, ""

    def workers(self) -> dict[int, ProcessIdentity]:
        """The living workers by index."""
        with self._lock:
            found = {index: worker.identity for index, worker in self._workers.items()}
        return {index: identity for index, identity in found.items() if identity is not None and is_alive(identity)}

    def replaced(self) -> tuple[int, str]:
        """How many workers have ended unasked so far, and how the last one did."""
        with self._lock:
            return self._replaced, self._last_replaced

    def take_over(self, ended: threading.Event) -> None:
        """Finds the workers that an earlier agent left, and gets the listening socket, from them or from the system.

        Raises:
            SettingsError: nobody has the socket, and the port cannot be listened on.
        """
        for index in self._folder.worker_indexes():
            holder = lock_holder(self._folder.worker_lock(index))
            if holder is None:
                self._folder.forget_worker(index)
                continue
            worker = self._workers.setdefault(index, self._place(index))
            self._settle(index, worker, holder)
            later = ", to be replaced: its settings or its code are others" if worker.is_outdated else ""
            log.info("worker %s (process %s) is there already: taken over%s", index, holder.pid, later)
        living = self.workers()
        self._folder.clear_scratch(living=[identity.pid for identity in living.values()])
        if not living:
            self._folder.forget_agent()
            shutil.rmtree(self._folder.metrics, ignore_errors=True)  # counters of processes that are gone
            self._folder.make()
        self._socket = self._find_socket(ended)

    def tend(self, *, may_start: bool = True) -> None:
        """Starts what is not running, ends what hangs, replaces what is outdated; called every `LOOK_S`."""
        now = time.monotonic()
        for index, worker in sorted(self._workers.items()):
            if worker.identity is not None:
                self._look_after(index, worker, now)
            if worker.identity is None and index >= self._settings.search_workers:
                with self._lock:
                    del self._workers[index]
            elif worker.identity is None and may_start and now >= worker.not_before:
                self._fill(index, worker, now)
        self._replace_one(now)

    def stop(self) -> None:
        """Ends all workers: requests in flight are finished, then whoever still lives is killed."""
        if self._socket is not None:
            self._socket.close()
        end_processes(self.workers().values())
        for worker in self._workers.values():
            if worker.child is not None:
                worker.child.wait()

    def _place(self, index: int) -> _Worker:
        return _Worker(self._watch(index))

    def _watch(self, index: int) -> HangWatch:
        return HangWatch(self._folder.worker_pulse(index))

    def _settle(self, index: int, worker: _Worker, holder: ProcessIdentity) -> None:
        """Takes over a worker that an earlier agent started."""
        worker.is_outdated = self._is_outdated(index)
        worker.began, worker.watch = time.monotonic() - holder.age_s, self._watch(index)
        with self._lock:
            worker.identity = holder

    def _find_socket(self, ended: threading.Event) -> socket.socket | None:
        """Borrows the socket from a worker. One that is stopped or hung cannot lend it, and is ended first."""
        host, port = self._settings.search_host, self._settings.search_port
        said = time.monotonic()
        while living := self.workers():
            able = {index: identity for index, identity in living.items() if state_of(identity) != "T"}
            lent = {index: borrow(self._folder.worker_socket(index)) for index in able}
            found = [one for one in lent.values() if one is not None and listens_on(one, host, port)]
            for one in lent.values():
                if one is not None and one not in found[:1]:
                    one.close()
            if found:
                found[0].setblocking(False)
                return found[0]
            if able == living and all(one is not None for one in lent.values()):
                break  # they listen elsewhere: this replica has moved
            for index in living:
                self._look_after(index, self._workers[index], time.monotonic())
            if time.monotonic() - said > _SAY_EVERY_S:
                said = time.monotonic()
                log.warning("waiting for the listening socket: none of the workers %s lends it yet", sorted(living))
            if ended.wait(LOOK_S):
                return None
        return listen(host, port)

    def _look_after(self, index: int, worker: _Worker, now: float) -> None:
        if worker.identity is None:
            return
        has_ended = worker.child.poll() is not None if worker.child else not is_alive(worker.identity)
        if has_ended:
            self._bury(index, worker, now)
        elif worker.kill_at is not None and now >= worker.kill_at:
            log.warning("worker %s (process %s) did not end in time: killed", index, worker.identity.pid)
            send(worker.identity, signal.SIGKILL)
            worker.kill_at = float("inf")
        # One that was asked to end finishes what it is at, and gives no pulse.
        elif worker.kill_at is None and not worker.is_hung and (reason := worker.watch.look(worker.identity)):
            log.error("worker %s (process %s) hangs: %s; it is killed", index, worker.identity.pid, reason)
            send(worker.identity, signal.SIGKILL)
            worker.is_hung = True

    def _fill(self, index: int, worker: _Worker, now: float) -> None:
        """Takes over whoever holds the place, or starts a worker: it takes the lock itself, or ends at once."""
        holder = lock_holder(self._folder.worker_lock(index))
        if holder is not None:
            self._settle(index, worker, holder)
            log.info("worker %s (process %s) was found in its place", index, holder.pid)
            return
        try:
            child = self._start(index)
        except OSError as error:
            worker.pause_s = min(_MAX_PAUSE_S, max(0.5, worker.pause_s * 2))
            worker.not_before = now + worker.pause_s
            log.error("worker %s cannot be started (%s); tried again in %.1f s", index, error, worker.pause_s)
            return
        with self._lock:
            worker.child, worker.identity = child, identify(child.pid) or ProcessIdentity(child.pid, "ended at once")
        worker.began, worker.is_outdated, worker.watch = now, False, self._watch(index)
        log.info("worker %s started, process %s", index, child.pid)

    def _is_outdated(self, index: int) -> bool:
        """Tells whether the worker in a place was made of other settings or other code than one would be now."""
        for _ in range(20):  # it notes what it is made of right after it took the lock
            if note := lock_note(self._folder.worker_lock(index)):
                return note != self._specification
            time.sleep(0.02)
        return True

    def _start(self, index: int) -> subprocess.Popen[bytes]:
        if self._socket is None:
            raise OSError("there is no listening socket")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VITRINE_")}
        environment |= self._settings.to_environment()
        environment |= {
            "PROMETHEUS_MULTIPROC_DIR": str(self._folder.metrics),
            # Native pools of several workers would meet on the same cores.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "serving.worker", "--index", str(index)]
        command += ["--listen-fd", str(self._socket.fileno())]
        return subprocess.Popen(command, env=environment, pass_fds=(self._socket.fileno(),), start_new_session=True)

    def _bury(self, index: int, worker: _Worker, now: float) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        if worker.identity is None:
            return
        lived = now - worker.began
        status = "unknown" if worker.child is None else worker.child.returncode
        if worker.kill_at is not None:
            log.info("worker %s (process %s) has ended, as it was asked to", index, worker.identity.pid)
            worker.pause_s = 0.0
        else:
            worker.pause_s = 0.0 if lived > _CALM_S else min(_MAX_PAUSE_S, max(0.5, worker.pause_s * 2))
            what = f"worker {index} (process {worker.identity.pid}) ended with status {status} after {lived:.0f} s"
            log.error("%s; it starts again in %.1f s", what, worker.pause_s)
            with self._lock:
                self._replaced += 1
                self._last_replaced = f"{time.strftime('%F %T')}: {what}"
        worker.not_before = now + worker.pause_s
        if lock_holder(self._folder.worker_lock(index)) is None:
            self._folder.forget_worker(index)
        mark_process_dead(worker.identity.pid, path=str(self._folder.metrics))
        with self._lock:
            worker.identity, worker.child, worker.kill_at, worker.is_hung = None, None, None, False

    def _replace_one(self, now: float) -> None:
        """Asks one outdated or surplus worker to end, once all others that should answer do."""
        count = self._settings.search_workers
        leaving = {index: one for index, one in self._workers.items() if one.is_outdated or index >= count}
        if not leaving or any(worker.kill_at is not None for worker in leaving.values()):
            return
        accepting = self._accepting()
        stay = [worker for index, worker in self._workers.items() if index not in leaving]
        if any(worker.identity not in accepting for worker in stay):
            return
        # Whoever does not answer yet is replaced first, and a surplus worker last: the others answer meanwhile.
        index, worker = min(leaving.items(), key=lambda one: (one[1].identity in accepting, one[0]))
        if worker.identity is not None:
            log.info("worker %s (process %s) is asked to end", index, worker.identity.pid)
            worker.kill_at = now + GRACE_S
            send(worker.identity, signal.SIGTERM)

    def _accepting(self) -> set[ProcessIdentity]:
        try:
            return {report.identity for report in self._folder.read_workers() if report.accepting}
        except ContractError as error:  # of a newer worker, before a step back: it is outdated, and leaves first
            log.warning("%s", error)
            return set()


def end_processes(identities: Iterable[ProcessIdentity], *, grace_s: float = GRACE_S) -> None:
    """Ends processes: in order, and by SIGKILL those that have not ended after `grace_s`."""
    left = list(identities)
    for identity in left:
        send(identity, signal.SIGTERM)
        send(identity, signal.SIGCONT)  # one that is stopped would not hear it
    deadline = time.monotonic() + grace_s
    while left := [identity for identity in left if is_alive(identity)]:
        if time.monotonic() >= deadline:
            for identity in left:
                log.warning("process %s did not end within %.0f s: killed", identity.pid, grace_s)
                send(identity, signal.SIGKILL)
            deadline = float("inf")
        time.sleep(0.02)
