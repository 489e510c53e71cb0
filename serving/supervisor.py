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

from serving.listening import borrow, listen, listens_on
from serving.process_lock import lock_holder, lock_note
from serving.pulse import LOOK_S, HangWatch
from serving.replica_folder import ReplicaFolder
from serving.specification import worker_specification
from serving.stopping import GRACE_S, end_processes
from serving.worker import PLACE_TAKEN
from serving.worker_place import WorkerPlace
from vitrine.errors import ContractError
from vitrine.processes.table import ProcessIdentity, identify, is_alive, send, state_of
from vitrine.settings import Settings

log = logging.getLogger("vitrine.serving")

NEXT_STEP = "fix the cause, then run `make up`, or end this replica and start it again"
_SAY_EVERY_S = 5.0
_TAKEN_S = 5.0  # until a place is looked at again that somebody holds of whom nothing is seen from here


class Supervisor:
    """Keeps `settings.search_workers` processes alive on one listening socket.

    Workers outlive this process. Each holds a lock of its own, so there is never a second one in its place, and each
    lends the socket: while a worker or the agent restarts, connections wait or go to another worker, none is refused.

    A place whose workers end again and again is given up, and the others go on. That is noted on disk, so the next
    agent takes it over as well; it ends with the note, with `try_again`, and with the replica's end in order.
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

    def given_up(self) -> dict[int, str]:
        """Why no worker is started any more, by place."""
        with self._lock:
            return {index: worker.gave_up for index, worker in self._workers.items() if worker.gave_up}

    def try_again(self) -> None:
        """Has workers started in the places that were given up, since what they would load is other than it was."""
        self._folder.forget_given_up()

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
        for index, reason in self._folder.given_up().items():
            if index in self._workers and self._workers[index].identity is None:
                self._workers[index].gave_up = reason
                log.error("worker %s was given up by an earlier agent: %s; %s", index, reason, NEXT_STEP)
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
            elif worker.identity is None and may_start and self._is_due(index, worker, now):
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
        self._folder.forget_given_up()  # a person, or what runs this replica, starts it anew

    def _place(self, index: int) -> WorkerPlace:
        return WorkerPlace(self._watch(index))

    def _watch(self, index: int) -> HangWatch:
        return HangWatch(self._folder.worker_pulse(index))

    def _settle(self, index: int, worker: WorkerPlace, holder: ProcessIdentity) -> None:
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

    def _look_after(self, index: int, worker: WorkerPlace, now: float) -> None:
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
        elif worker.kill_at is None and not worker.hang and (reason := worker.watch.look(worker.identity)):
            log.error("worker %s (process %s) hangs: %s; it is killed", index, worker.identity.pid, reason)
            send(worker.identity, signal.SIGKILL)
            worker.hang = reason

    def _is_due(self, index: int, worker: WorkerPlace, now: float) -> bool:
        if worker.gave_up and index not in self._folder.given_up():
            log.info("worker %s, which was given up, is tried again", index)
            with self._lock:
                worker.begin_anew()
        return not worker.gave_up and now >= worker.not_before

    def _fill(self, index: int, worker: WorkerPlace, now: float) -> None:
        """Takes over whoever holds the place, or starts a worker: it takes the lock itself, or ends at once."""
        holder = lock_holder(self._folder.worker_lock(index))
        if holder is not None:
            self._settle(index, worker, holder)
            log.info("worker %s (process %s) was found in its place", index, holder.pid)
            return
        try:
            child = self._start(index)
        except OSError as error:
            self._count_death(index, worker, f"could not be started ({error})", now)
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

    def _bury(self, index: int, worker: WorkerPlace, now: float) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        if worker.identity is None:
            return
        pid = worker.identity.pid
        if worker.kill_at is not None:
            log.info("worker %s (process %s) has ended, as it was asked to", index, pid)
            worker.not_before = now
        elif worker.child is not None and worker.child.returncode == PLACE_TAKEN:
            log.warning("worker %s: another process, which may be out of sight, holds its place", index)
            worker.not_before = now + _TAKEN_S
        else:
            reason = worker.end_of_life(last_words=self._folder.last_words(index), now=now)
            self._count_death(index, worker, reason, now)
            with self._lock:
                self._replaced += 1
                self._last_replaced = f"{time.strftime('%F %T')}: worker {index} (process {pid}) {reason}"
        if lock_holder(self._folder.worker_lock(index)) is None:
            self._folder.forget_worker(index)
        mark_process_dead(pid, path=str(self._folder.metrics))
        with self._lock:
            worker.empty()

    def _count_death(self, index: int, worker: WorkerPlace, reason: str, now: float) -> None:
        who = f"worker {index}" + (f" (process {worker.identity.pid})" if worker.identity else "")
        with self._lock:
            pause_s = worker.count_death(reason, now=now)
        if not worker.gave_up:
            log.error("%s %s; it starts again in %.1f s", who, reason, pause_s)
            return
        log.error("%s is given up: %s; %s", who, worker.gave_up, NEXT_STEP)
        try:
            self._folder.give_up(index, worker.gave_up)
        except OSError as error:
            log.error("that worker %s is given up cannot be noted, so it is tried again: %s", index, error)

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
