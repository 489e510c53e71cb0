"""`python -m serving run`: one search replica, from start to a clean end."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from serving.listening import is_loopback
from serving.process_lock import ProcessLock, lock_holder
from serving.pulse import LOOK_S
from serving.replica_folder import ReplicaFolder
from serving.supervisor import Supervisor
from vitrine.errors import LedgerError, SettingsError, VitrineError
from vitrine.settings import Settings

if TYPE_CHECKING:
    from serving.agent import Agent
    from vitrine.ledger import Ledger

log = logging.getLogger("vitrine.serving")

HEARTBEAT_S = 3.0


def run_replica(settings: Settings) -> None:
    """Runs a replica until SIGTERM or SIGINT, which also end its workers.

    Workers that an earlier agent left are taken over as they are, with the socket that they listen on.

    Raises:
        SettingsError: the port is taken, another process runs this replica, or no URL is known to reach it by.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    url = settings.advertised_search_url
    folder = ReplicaFolder(settings.state_dir, settings.replica_id)
    folder.make()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    _take_lock(folder)
    supervisor = Supervisor(settings, folder)
    supervisor.take_over(ended)
    _say_where(settings, url)
    may_start = threading.Event()
    if supervisor.workers():
        may_start.set()  # they serve from this disk: another one can, too
    control = ThreadPoolExecutor(1, "control").submit(_control, settings, folder, supervisor, may_start, ended)
    # Here and nowhere else: a slow ledger must not keep a dead worker from starting again.
    while not ended.wait(LOOK_S):
        if control.done():
            control.result()  # raises what ended it; the workers go on, and the next agent takes them over
        try:
            supervisor.tend(may_start=may_start.is_set())
        except (VitrineError, OSError) as error:  # no memory for a process, a full disk: what runs must not end for it
            log.error("the workers could not be looked after, it is tried again: %s", error)
    supervisor.stop()
    log.info("replica %s ended", settings.replica_id)


def _say_where(settings: Settings, url: str) -> None:
    where = f"{settings.search_host}:{settings.search_port}"
    log.info("replica %s listens on %s; others are told to reach it at %s", settings.replica_id, where, url)
    if is_loopback(urlsplit(url).hostname or "") and not is_loopback(settings.search_host):
        log.warning(
            "VITRINE_SEARCH_URL is %s, which another machine takes for itself: a release that is verified from there "
            "fails; set it to a URL by which other machines reach this replica",
            url,
        )


def _control(
    settings: Settings,
    folder: ReplicaFolder,
    supervisor: Supervisor,
    may_start: threading.Event,
    ended: threading.Event,
) -> None:
    """Follows the ledger. What this imports takes seconds to load, and no worker waits for it."""
    from serving.agent import Agent
    from vitrine.connections import open_ledger, open_object_store

    ledger, object_store = open_ledger(settings), open_object_store(settings)
    agent = Agent(settings, folder=folder, supervisor=supervisor, ledger=ledger, object_store=object_store)
    agent.resume()
    if not may_start.is_set():
        agent.finish_resuming(ended)  # nobody serves yet, so nobody waits; and no ledger is needed for it
        may_start.set()
    threading.Thread(target=_beat, args=(ledger, settings, ended), daemon=True).start()
    while not ended.is_set():
        _round(agent)
        ended.wait(settings.replica_poll_s)
    agent.stop()


def _round(agent: Agent) -> None:
    try:
        agent.round()
    except (VitrineError, OSError) as error:
        log.error("this round is given up, the next one tries again: %s", error)
    except Exception:  # whatever is wrong with a new release, what is live must go on answering
        log.exception("this round failed unexpectedly, the next one tries again")


def _beat(ledger: Ledger, settings: Settings, ended: threading.Event) -> None:
    while True:
        try:
            ledger.replicas.heartbeat(replica_id=settings.replica_id, url=settings.advertised_search_url)
        except LedgerError as error:
            log.warning("no heartbeat: %s", error)
        if ended.wait(HEARTBEAT_S):
            return


def _take_lock(folder: ReplicaFolder) -> None:
    """Takes the replica's lock until this process ends, however it ends; its children do not hold it."""
    if not ProcessLock(folder.lock).acquire():
        holder = lock_holder(folder.lock)
        raise SettingsError(
            f"replica {folder.replica_id} runs already (process {holder.pid if holder else 'unknown'} holds "
            f"{folder.lock}); end it first, or give this one another VITRINE_REPLICA_ID and VITRINE_SEARCH_PORT"
        )
