"""`python -m serving run`: one search replica, from start to a clean end."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from serving.agent import Agent
from serving.replica_folder import ReplicaFolder
from serving.supervisor import Supervisor
from vitrine.connections import open_ledger, open_object_store
from vitrine.errors import LedgerError, SettingsError, VitrineError
from vitrine.ledger import Ledger
from vitrine.settings import Settings

log = logging.getLogger("vitrine.serving")

HEARTBEAT_S = 3.0
_TEND_S = 0.2


def run_replica(settings: Settings) -> None:
    """Runs a replica until SIGTERM or SIGINT.

    Raises:
        SettingsError: the port is taken, or another process runs this replica.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    folder = ReplicaFolder(settings.state_dir, settings.replica_id)
    folder.make()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with _locked(folder):
        shutil.rmtree(folder.metrics, ignore_errors=True)  # counters of processes that are gone
        folder.make()
        supervisor = Supervisor(settings, folder)
        ledger = open_ledger(settings)
        agent = Agent(
            settings, folder=folder, supervisor=supervisor, ledger=ledger, object_store=open_object_store(settings)
        )
        agent.resume()
        url = f"http://127.0.0.1:{settings.search_port}"
        control = threading.Thread(target=_control, args=(agent, settings.replica_poll_s, ended), daemon=True)
        heart = threading.Thread(target=_beat, args=(ledger, settings.replica_id, url, ended), daemon=True)
        control.start()
        heart.start()
        log.info("replica %s listens on %s", settings.replica_id, url)
        try:
            # Here and nowhere else: a slow ledger must not keep a dead worker from starting again.
            while not ended.wait(_TEND_S):
                supervisor.tend()
        finally:
            supervisor.stop()
            log.info("replica %s ended", settings.replica_id)


def _control(agent: Agent, poll_s: float, ended: threading.Event) -> None:
    while not ended.wait(poll_s):
        try:
            agent.round()
        except (VitrineError, OSError) as error:
            log.error("this round is given up, the next one tries again: %s", error)
        except Exception:  # whatever is wrong with a new release, what is live must go on answering
            log.exception("this round failed unexpectedly, the next one tries again")


def _beat(ledger: Ledger, replica_id: str, url: str, ended: threading.Event) -> None:
    while True:
        try:
            ledger.replicas.heartbeat(replica_id=replica_id, url=url)
        except LedgerError as error:
            log.warning("no heartbeat: %s", error)
        if ended.wait(HEARTBEAT_S):
            return


@contextmanager
def _locked(folder: ReplicaFolder) -> Iterator[None]:
    """Holds the replica's lock; the system frees it when this process ends, however it ends."""
    with folder.lock.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(
                f"replica {folder.replica_id} runs already (lock {folder.lock}); end it first, or give this one "
                "another VITRINE_REPLICA_ID and VITRINE_SEARCH_PORT"
            ) from error
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield
