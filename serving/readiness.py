"""Whether this replica serves what is live, by the reports of all its workers."""

from __future__ import annotations

from serving.replica_folder import ReplicaFolder
from vitrine.contracts.search import Readiness, WorkerHealth
from vitrine.errors import ContractError


def read_readiness(folder: ReplicaFolder) -> Readiness:
    """Returns the replica's readiness; `reasons` is empty when it is ready."""
    try:
        agent, reports = folder.read_agent(), folder.read_workers()
    except ContractError as error:
        return _readiness(folder, [str(error)], {}, False, [])
    workers = [
        WorkerHealth(index=report.index, pid=report.pid, accepting=report.accepting, releases=dict(report.serving))
        for report in reports
    ]
    if agent is None:
        return _readiness(folder, ["the agent has not looked at the ledger yet"], {}, False, workers)
    reasons = []
    accepting = sum(worker.accepting for worker in workers)
    if accepting < agent.workers:
        reasons.append(f"{accepting} of {agent.workers} workers accept requests")
    for catalog_id, release_id in sorted(agent.live.items()):
        behind = [worker for worker in workers if worker.releases.get(catalog_id) != release_id]
        if behind:
            why = agent.problems.get(catalog_id)
            found = ", ".join(f"worker {worker.index}: {worker.releases.get(catalog_id)}" for worker in behind)
            reasons.append(
                f"catalog {catalog_id}: expected release {release_id}, found {found}" + (f"; {why}" if why else "")
            )
    return _readiness(folder, reasons, dict(agent.live), agent.ledger_reachable, workers)


def _readiness(
    folder: ReplicaFolder, reasons: list[str], live: dict[str, str], ledger: bool, workers: list[WorkerHealth]
) -> Readiness:
    return Readiness(
        status="not ready" if reasons else "ready",
        replica_id=folder.replica_id,
        reasons=reasons,
        live=live,
        ledger="reachable" if ledger else "unreachable",
        workers=workers,
    )
