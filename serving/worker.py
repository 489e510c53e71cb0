"""One worker process of a replica: loads what is live, then answers on the replica's listening socket.

It outlives its agent: it goes on answering from what it holds, and lends the socket to the agent that comes next.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving.front import Front
from serving.listening import BACKLOG, lend
from serving.open_connections import Limits
from serving.process_lock import ProcessLock
from serving.pulse import AnswerWatch, start_pulse
from serving.replica_folder import Plan, ReplicaFolder, WorkerReport
from serving.specification import worker_specification
from vitrine.errors import ContractError
from vitrine.processes.table import identify
from vitrine.settings import Settings

log = logging.getLogger("vitrine.serving")

PLAN_POLL_S = 0.05
PLACE_TAKEN = 75  # EX_TEMPFAIL: another process is this worker
# One thread searches best; the others are for requests that wait on the object store for a picture.
THREADS = 4
PICTURE_THREADS = 2
DRAIN_S = 1.0
_MOST_LAST_WORDS = 500

Accepting = Callable[[asyncio.AbstractEventLoop], None]
"""Called once requests are answered, with the loop that answers them."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one worker until SIGTERM; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m serving.worker", description=__doc__)
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--listen-fd", type=int, required=True, help="the listening socket")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format=f"worker {options.index}: %(message)s", stream=sys.stderr)
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)
    settings = Settings.from_environment()
    folder = ReplicaFolder(settings.state_dir, settings.replica_id)
    lock = ProcessLock(folder.worker_lock(options.index))
    if not lock.acquire(worker_specification(settings)):
        log.info("another process is worker %s of replica %s already", options.index, settings.replica_id)
        return PLACE_TAKEN
    folder.forget_worker(options.index)
    os.set_inheritable(options.listen_fd, False)
    # The server closes its own descriptor when it stops accepting; whoever borrows the socket may come later.
    lend(socket.socket(fileno=os.dup(options.listen_fd)), folder.worker_socket(options.index))
    try:
        run_worker(settings, folder, index=options.index, listen_fd=options.listen_fd)
    except Exception as error:  # whatever it is: the agent says so when it gives this place up
        folder.write_last_words(options.index, f"{type(error).__name__}: {error}"[:_MOST_LAST_WORDS])
        raise
    return 0


def run_worker(settings: Settings, folder: ReplicaFolder, *, index: int, listen_fd: int) -> None:
    """Loads, serves, and follows the plan."""
    import faiss

    from serving.application import create_app
    from serving.loaded_release import Encoders
    from serving.release_cache import ReleaseCache
    from serving.worker_slots import WorkerSlots

    faiss.omp_set_num_threads(1)  # requests are the parallelism
    slots = WorkerSlots(ReleaseCache(folder.cache), Encoders(settings, folder.path / "compiled" / str(index)))
    follower = _Follower(folder, slots, index=index)
    follower.load_what_is_live()
    watch = AnswerWatch(create_app(settings, slots=slots, folder=folder), threads=THREADS)
    stopped = threading.Event()
    threading.Thread(target=follower.run, args=(stopped,), name="follow-plan", daemon=True).start()
    front = Front(
        watch,
        threads=THREADS,
        picture_threads=PICTURE_THREADS,
        max_body_bytes=settings.search_max_body_bytes,
        body_timeout_s=settings.search_body_timeout_s,
        max_held_bytes=settings.search_max_held_bytes,
        limits=Limits(write_timeout_s=settings.search_write_timeout_s),
    )

    def begin(loop: asyncio.AbstractEventLoop) -> None:
        start_pulse(folder.worker_pulse(index), loop, watch)
        follower.accept()

    serve_until_ended(front, listen_fd, accepting=begin)
    stopped.set()


class _Follower:
    """Reads the plan whenever it was replaced, moves the slots towards it and reports."""

    def __init__(self, folder: ReplicaFolder, slots: Any, *, index: int) -> None:
        self._folder = folder
        self._slots = slots
        self._index = index
        self._stamp: tuple[int, int] | None = None
        self._plan: Plan | None = None
        self._accepting = False
        me = identify(os.getpid())
        self._started = me.started if me else ""
        self._reporting = threading.Lock()

    def load_what_is_live(self) -> None:
        while not self._step() or not self._slots.is_settled(self._plan):
            time.sleep(PLAN_POLL_S)

    def accept(self) -> None:
        self._accepting = True
        self._report()

    def run(self, stopped: threading.Event) -> None:
        while not stopped.wait(PLAN_POLL_S):
            try:
                self._step()
            except Exception:  # a worker that no longer follows would answer from an old release for ever
                log.exception("following the plan failed, it is tried again")

    def _step(self) -> bool:
        stamp = self._folder.plan_stamp()
        if stamp != self._stamp:
            try:
                self._plan = self._folder.read_plan()
                self._stamp = stamp
            except ContractError as error:
                log.error("%s", error)
        if self._plan is None:
            return False
        if self._slots.step(self._plan):
            self._report()
        return True

    def _report(self) -> None:
        try:
            # Two threads report into one file: what one of them found earlier must not be written later.
            with self._reporting:
                self._folder.write_worker(
                    WorkerReport(
                        index=self._index,
                        pid=os.getpid(),
                        started=self._started,
                        accepting=self._accepting,
                        slots=self._slots.reports(),
                        serving=self._slots.serving(),
                    )
                )
        except OSError as error:
            # A full disk must not end a worker that answers; the agent goes by the last report that was written.
            log.error("cannot report: %s", error)


def serve_until_ended(front: Front, listen_fd: int, *, accepting: Accepting) -> None:
    """Answers on an inherited socket until SIGTERM; requests in flight are finished.

    One socket outlives every worker, and the agent, so no connection is refused while one of them restarts.
    """
    import uvloop

    uvloop.run(_answer_until_ended(front, listen_fd, accepting))


async def _answer_until_ended(front: Front, listen_fd: int, accepting: Accepting) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    front.open_connections.fit_to_open_files()
    server = await loop.create_server(front.connect, sock=socket.socket(fileno=listen_fd), backlog=BACKLOG)
    watch = asyncio.create_task(front.open_connections.watch())
    accepting(loop)
    await ended.wait()
    server.close()
    front.is_ending = True
    # A client may have sent its next request on a connection that is idle here: it is answered, and told to leave.
    deadline = loop.time() + DRAIN_S
    while len(front.open_connections) and loop.time() < deadline:
        await asyncio.sleep(0.02)
    await front.open_connections.end()
    watch.cancel()


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    code = main()
    logging.shutdown()
    os._exit(code)  # all is answered; a load that never ends must not hold the process
