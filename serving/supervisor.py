"""The worker processes of a replica: started, restarted when they die, ended with the agent."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from serving.replica_folder import ReplicaFolder
from serving.worker import BACKLOG
from vitrine.errors import SettingsError
from vitrine.settings import Settings

log = logging.getLogger("vitrine.serving")

_GRACE_S = 15.0
_CALM_S = 10.0  # a worker that lived this long is restarted at once
_MAX_PAUSE_S = 30.0


@dataclass
class _Worker:
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause_s: float = 0.0
    not_before: float = 0.0


class Supervisor:
    """Keeps `settings.search_workers` processes alive on one listening socket.

    The socket belongs to this process: while a worker restarts, connections wait or go to another worker, and none is
    refused. A worker reads a pipe that closes when this process ends, even by SIGKILL, and then ends too.
    """

    def __init__(self, settings: Settings, folder: ReplicaFolder, *, host: str = "127.0.0.1") -> None:
        self._settings = settings
        self._folder = folder
        self._workers = {index: _Worker() for index in range(settings.search_workers)}
        self._lock = threading.Lock()
        self._life_read, self._life_write = os.pipe()
        self._socket = _listen(host, settings.search_port)

    def pids(self) -> dict[int, int]:
        """The living workers by index."""
        with self._lock:
            return {
                index: worker.process.pid
                for index, worker in self._workers.items()
                if worker.process is not None and worker.process.poll() is None
            }

    def tend(self) -> None:
        """Starts what is not running; called again and again."""
        now = time.monotonic()
        for index, worker in self._workers.items():
            if worker.process is not None and worker.process.poll() is not None:
                self._bury(index, worker, now)
            if worker.process is None and now >= worker.not_before:
                self._start(index, worker, now)

    def stop(self) -> None:
        """Ends all workers: requests in flight are finished, then whoever still lives is killed."""
        self._socket.close()
        running = [worker.process for worker in self._workers.values() if worker.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _GRACE_S
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("worker process %s did not end within %.0f s: killed", process.pid, _GRACE_S)
                process.kill()
                process.wait()

    def _start(self, index: int, worker: _Worker, now: float) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VITRINE_")}
        environment |= self._settings.to_environment()
        environment |= {
            "PROMETHEUS_MULTIPROC_DIR": str(self._folder.metrics),
            # Native pools of several workers would meet on the same cores.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "serving.worker", "--index", str(index)]
        command += ["--listen-fd", str(self._socket.fileno()), "--life-fd", str(self._life_read)]
        process = subprocess.Popen(
            command, env=environment, pass_fds=(self._socket.fileno(), self._life_read), start_new_session=True
        )
        with self._lock:
            worker.process, worker.started = process, now
        log.info("worker %s started, process %s", index, process.pid)

    def _bury(self, index: int, worker: _Worker, now: float) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        if worker.process is None:
            return
        lived = now - worker.started
        worker.pause_s = 0.0 if lived > _CALM_S else min(_MAX_PAUSE_S, max(0.5, worker.pause_s * 2))
        worker.not_before = now + worker.pause_s
        log.error(
            "worker %s (process %s) ended with status %s after %.0f s; it starts again in %.1f s",
            *(index, worker.process.pid, worker.process.returncode, lived, worker.pause_s),
        )
        self._folder.forget_worker(index)
        mark_process_dead(worker.process.pid, path=str(self._folder.metrics))
        with self._lock:
            worker.process = None


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit it. Without it half of an answer waits for the client's delayed ACK: 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"the search tier cannot listen on {host}:{port} ({error.strerror}); end what holds the port, "
            "or set VITRINE_SEARCH_PORT to another"
        ) from error
    listening.setblocking(False)
    return listening
