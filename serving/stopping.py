"""`python -m serving stop`: ends a replica, also one whose agent has died and left its workers."""

from __future__ import annotations

from serving.process_lock import lock_holder
from serving.replica_folder import ReplicaFolder
from serving.supervisor import GRACE_S, end_processes
from vitrine.process_table import ProcessIdentity
from vitrine.settings import Settings

_AGENT_GRACE_S = 2 * GRACE_S  # it gives its workers their own time first


def stop_replica(settings: Settings) -> int:
    """Ends the agent of this machine's replica and whatever workers it has; returns how many processes ended."""
    folder = ReplicaFolder(settings.state_dir, settings.replica_id)
    agent = lock_holder(folder.lock)
    workers = _workers(folder)
    if agent is not None:
        end_processes([agent], grace_s=_AGENT_GRACE_S)
    end_processes(_workers(folder))
    return len(workers) + (agent is not None)


def _workers(folder: ReplicaFolder) -> list[ProcessIdentity]:
    holders = (lock_holder(folder.worker_lock(index)) for index in folder.worker_indexes())
    return [holder for holder in holders if holder is not None]
