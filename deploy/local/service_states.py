"""The state of each service, found by asking it: all at once, within some seconds, starting and changing nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from deploy.local import processes, services, supervisor
from deploy.local.configuration import Configuration, configure
from deploy.local.keeping import wish
from deploy.local.keeping.history import History, read_history
from deploy.local.keeping.wish import Turn
from deploy.local.layout import Layout
from deploy.local.processes import ProcessIdentity
from deploy.local.services import Service
from deploy.local.supervisor import Record
from serving.replica_folder import ReplicaFolder
from vitrine.errors import ContractError

_STARTING_S = 120.0  # for which a service that does not answer yet is said to be starting


@dataclass(frozen=True)
class ServiceState:
    """One line of the status.

    Attributes:
        name: of the service.
        word: `ready`, `starting`, `not answering`, `suspended`, `restarting`, `stopped` or `gave up`.
        detail: why, in words; empty when it is ready.
        pid: of its leading process, while that runs.
        process_count: of all its processes.
        memory_bytes: of all its processes, shared pages split between their users.
        url: for people.
        history: what the keeper did for it.
        remark: what it says of itself beside; empty mostly.
    """

    name: str
    word: str
    detail: str
    pid: int | None
    process_count: int
    memory_bytes: int
    url: str | None
    history: History
    remark: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        return self.word == "ready"


@dataclass(frozen=True)
class PlatformState:
    """All services, and what a person wants of them.

    Attributes:
        services: in the order of their start; none where nothing was ever set up.
        is_wanted: `make up` came after the last `make down`.
        turn: a command that starts or ends services now; nothing else is restarted meanwhile.
    """

    services: tuple[ServiceState, ...]
    is_wanted: bool
    turn: Turn | None = None

    @property
    def is_as_wanted(self) -> bool:
        """Whether everything is ready that is to run, or everything stopped after `make down`."""
        word = "ready" if self.is_wanted else "stopped"
        return all(service.word == word and (self.is_wanted or not service.process_count) for service in self.services)


def read_states(layout: Layout, environment: Mapping[str, str]) -> PlatformState:
    """Asks every service at once."""
    if not layout.env_file.exists():
        return PlatformState(services=(), is_wanted=False)
    configuration = configure(layout, environment)
    wanted = services.all_services(configuration)
    is_wanted = wish.is_up(layout)
    keepers = (supervisor.read_record(layout, name) for name in services.KEEPERS)
    is_kept = is_wanted and any(record is not None and not processes.is_dying(record.leader) for record in keepers)
    with ThreadPoolExecutor(len(wanted)) as pool:
        states = pool.map(lambda service: _state(service, configuration, is_kept=is_kept), wanted)
        return PlatformState(services=tuple(states), is_wanted=is_wanted, turn=wish.whose_turn(layout))


def _state(service: Service, configuration: Configuration, *, is_kept: bool) -> ServiceState:
    layout, mark = configuration.layout, configuration.credentials.mark
    record, history = supervisor.read_record(layout, service.name), read_history(layout, service.name)
    found = supervisor.find_processes(layout, mark, record) if record else set()
    is_led = record is not None and not processes.is_dying(record.leader)
    if record is not None and is_led:
        word, detail = _of_a_running(service, record, found)
    else:
        word, detail = _of_a_dead(record, history, found, is_kept=is_kept)
    return ServiceState(
        name=service.name,
        word=word,
        detail=detail,
        pid=record.leader.pid if record is not None and is_led else None,
        process_count=len(found),
        memory_bytes=processes.memory_bytes(found),
        url=service.url,
        history=history,
        remark=_workers(configuration) if is_led and service.survivors_are_adopted else "",
    )


def _workers(configuration: Configuration) -> str:
    """What the search agent tells of the workers that it has replaced, and of the places that it has given up."""
    try:
        report = ReplicaFolder(configuration.layout.state_dir, configuration.settings.replica_id).read_agent()
    except ContractError:
        return ""
    if report is None:
        return ""
    told = [
        f"worker {index} was given up: {reason}; fix the cause, then `make up`"
        for index, reason in sorted(report.given_up.items())
    ]
    if report.replaced:
        ended = "ended" if report.given_up else "replaced"
        told.append(
            f"{report.replaced} worker{'s' if report.replaced > 1 else ''} {ended}, last at {report.last_replaced}"
        )
    return "; ".join(told)


def _of_a_running(service: Service, record: Record, found: set[ProcessIdentity]) -> tuple[str, str]:
    if held := processes.suspended(found):  # also a child that the answer of the others does not need
        pids = ", ".join(str(identity.pid) for identity in held)
        return "suspended", f"a signal (SIGSTOP) holds process {pids}"
    if service.is_ready(record.started_at):
        return "ready", ""
    age_s = time.time() - record.started_at
    return "starting" if age_s < _STARTING_S else "not answering", f"started {age_s:,.0f} s ago"


def _of_a_dead(
    record: Record | None, history: History, found: set[ProcessIdentity], *, is_kept: bool
) -> tuple[str, str]:
    left = f"{len(found)} of its processes are left" if found else ""
    if record is not None and history.gave_up:
        return "gave up", f"{history.gave_up}; fix the cause, then `make up`"
    if record is None or not is_kept:
        return "stopped", left
    wait_s = history.next_at - time.time()
    return "restarting", f"in {wait_s:.0f} s" if wait_s >= 1 else "as soon as what it needs is there"
