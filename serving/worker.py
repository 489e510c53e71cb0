"""One worker process of a replica: loads what is live, then answers on the socket that the agent listens on."""

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
from serving.open_connections import Limits
from serving.replica_folder import Plan, ReplicaFolder, WorkerReport
from vitrine.errors import ContractError
from vitrine.settings import Settings

log = logging.getLogger("vitrine.serving")

PLAN_POLL_S = 0.05
BACKLOG = 1024
# One thread searches best; the others are for requests that wait on the object store for a picture.
THREADS = 4
PICTURE_THREADS = 2


def main(arguments: list[str] | None = None) -> int:
    """Runs one worker until SIGTERM, or until its agent ends."""
    parser = argparse.ArgumentParser(prog="python -m serving.worker", description=__doc__)
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--listen-fd", type=int, required=True, help="the listening socket")
    parser.add_argument("--life-fd", type=int, required=True, help="a pipe that closes when the agent ends")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format=f"worker {options.index}: %(message)s", stream=sys.stderr)
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)
    threading.Thread(target=_end_with_agent, args=(options.life_fd,), daemon=True).start()
    run_worker(Settings.from_environment(), index=options.index, listen_fd=options.listen_fd)
    return 0


def run_worker(settings: Settings, *, index: int, listen_fd: int) -> None:
    """Loads, serves, and follows the plan."""
    import faiss

    from serving.application import create_app
    from serving.loaded_release import Encoders
    from serving.release_cache import ReleaseCache
    from serving.worker_slots import WorkerSlots

    faiss.omp_set_num_threads(1)  # requests are the parallelism
    folder = ReplicaFolder(settings.state_dir, settings.replica_id)
    slots = WorkerSlots(ReleaseCache(folder.cache), Encoders(settings, folder.path / "compiled" / str(index)))
    follower = _Follower(folder, slots, index=index)
    follower.load_what_is_live()
    app = create_app(settings, slots=slots, folder=folder)
    stopped = threading.Event()
    threading.Thread(target=follower.run, args=(stopped,), name="follow-plan", daemon=True).start()
    front = Front(
        app,
        threads=THREADS,
        picture_threads=PICTURE_THREADS,
        max_body_bytes=settings.search_max_body_bytes,
        body_timeout_s=settings.search_body_timeout_s,
        max_held_bytes=settings.search_max_held_bytes,
        limits=Limits(write_timeout_s=settings.search_write_timeout_s),
    )
    _serve(front, listen_fd, accepting=follower.accept)
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
                        accepting=self._accepting,
                        slots=self._slots.reports(),
                        serving=self._slots.serving(),
                    )
                )
        except OSError as error:
            # A full disk must not end a worker that answers; the agent goes by the last report that was written.
            log.error("cannot report: %s", error)


def _serve(front: Front, listen_fd: int, *, accepting: Callable[[], None]) -> None:
    """Answers on an inherited socket until SIGTERM; requests in flight are finished.

    One socket outlives every worker, so no connection is refused while a worker restarts.
    """
    import uvloop

    uvloop.run(_answer_until_ended(front, listen_fd, accepting))


async def _answer_until_ended(front: Front, listen_fd: int, accepting: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    front.open_connections.fit_to_open_files()
    server = await loop.create_server(front.connect, sock=socket.socket(fileno=listen_fd), backlog=BACKLOG)
    watch = asyncio.create_task(front.open_connections.watch())
    accepting()
    await ended.wait()
    server.close()
    front.is_ending = True
    await front.open_connections.end()
    watch.cancel()


def _end_with_agent(life_fd: int) -> None:
    """Ends this process when the agent is gone, however it ended: its port must be free for the next one."""
    os.read(life_fd, 1)
    os._exit(1)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    code = main()
    logging.shutdown()
    os._exit(code)  # all is answered; a load that never ends must not hold the process
