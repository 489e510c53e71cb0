"""Whether this replica serves what is live, by what its workers report and by what the system says of them."""

from __future__ import annotations

import os
import time
from typing import Literal

from serving.process_lock import lock_holder
from serving.pulse import ANSWERING, hang_reason, has_work, last_pulse
from serving.replica_folder import ReplicaFolder, WorkerReport
from vitrine.contracts.search import Readiness, WorkerHealth
from vitrine.errors import ContractError
from vitrine.processes.table import state_of

WorkerState = Literal["running", "stopped", "silent", "gone"]


def read_readiness(folder: ReplicaFolder) -> Readiness:
    """Returns the replica's readiness; `reasons` is empty when it is ready."""
    try:
        agent, reports = folder.read_agent(), folder.read_workers()
    except ContractError as error:
        return _readiness(folder, [str(error)], {}, False, [])
    workers = [
        WorkerHealth(
            index=report.index,
            pid=report.pid,
            accepting=report.accepting,
            state=_state(folder, report),
            releases=dict(report.serving),
        )
        for report in reports
    ]
    if agent is None:
        return _readiness(folder, ["the agent has not looked at the ledger yet"], {}, False, workers)
    reasons = []
    accepting = sum(worker.accepting and worker.state == "running" for worker in workers)
    if accepting < agent.workers:
        unable = [f"worker {worker.index} (process {worker.pid}) is {worker.state}" for worker in workers]
        unable = [said for said, worker in zip(unable, workers, strict=True) if worker.state != "running"]
        unable += [f"worker {index} was given up: {reason}" for index, reason in sorted(agent.given_up.items())]
        reasons.append("; ".join([f"{accepting} of {agent.workers} workers accept requests", *unable]))
    for catalog_id, release_id in sorted(agent.live.items()):
        behind = [worker for worker in workers if worker.releases.get(catalog_id) != release_id]
        if behind:
            why = agent.problems.get(catalog_id)
            found = ", ".join(f"worker {worker.index}: {worker.releases.get(catalog_id)}" for worker in behind)
            reasons.append(
                f"catalog {catalog_id}: expected release {release_id}, found {found}" + (f"; {why}" if why else "")
            )
    return _readiness(folder, reasons, dict(agent.live), agent.ledger_reachable, workers)


def _state(folder: ReplicaFolder, report: WorkerReport) -> WorkerState:
    if report.pid == os.getpid():
        return "running"  # it is the one that says so
    letter = state_of(report.identity)
    if not letter:
        return "gone"
    if letter in ("T", "t"):
        return "stopped"
    pulse = last_pulse(folder.worker_pulse(report.index))
    silent_s = report.identity.age_s if pulse is None else time.time() - pulse / 1e9
    if silent_s < ANSWERING.idle_s:  # no patience is shorter
        return "running"
    idle_s = 0.0 if has_work(report.identity) else silent_s
    is_hung = hang_reason(silent_s=silent_s, idle_s=idle_s, is_loading=pulse is None)  # the agent judges by the same
    return "silent" if is_hung else "running"


def _readiness(
    folder: ReplicaFolder, reasons: list[str], live: dict[str, str], ledger: bool, workers: list[WorkerHealth]
) -> Readiness:
    holder = lock_holder(folder.lock)
    agent: Literal["running", "stopped", "gone"] = "gone"
    if holder is not None:
        agent = "stopped" if state_of(holder) in ("T", "t") else "running"
    return Readiness(
        status="not ready" if reasons else "ready",
        replica_id=folder.replica_id,
        agent=agent,
        reasons=reasons,
        live=live,
        ledger="reachable" if ledger else "unreachable",
        workers=workers,
    )
