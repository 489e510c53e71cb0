"""`python -m serving stop`: ends a replica, also one whose agent has died and left its workers."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterable

from serving.process_lock import lock_holder
from serving.replica_folder import ReplicaFolder
from vitrine.processes.table import ProcessIdentity, is_alive, send
from vitrine.settings import Settings

log = logging.getLogger("vitrine.serving")

GRACE_S = 15.0
_AGENT_GRACE_S = 2 * GRACE_S  # it gives its workers their own time first


def stop_replica(settings: Settings) -> int:
    """Ends the agent of this machine's replica and whatever workers it has; returns how many processes ended."""
    folder = ReplicaFolder(settings.state_dir, settings.replica_id)
    agent = lock_holder(folder.lock)
    workers = _workers(folder)
    if agent is not None:
        end_processes([agent], grace_s=_AGENT_GRACE_S)
    end_processes(_workers(folder))
    folder.forget_given_up()
    return len(workers) + (agent is not None)


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


def _workers(folder: ReplicaFolder) -> list[ProcessIdentity]:
    holders = (lock_holder(folder.worker_lock(index)) for index in folder.worker_indexes())
    return [holder for holder in holders if holder is not None]
