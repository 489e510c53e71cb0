"""One trial: a signal to one process of one service under load, and the seconds until the service is healthy again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.service_drill.load import TIMEOUT_S, steady_load
from deploy.local import lifecycle, processes, services, supervisor
from deploy.local.configuration import Configuration
from deploy.local.probes import answers_http
from deploy.local.services import Service
from vitrine.processes.table import state_of

SUSPENDED_S = 20.0
# The seconds to health and the failed searches that are allowed.
SOON_S, LATER_S = 5.0, 60.0
_BEFORE_S = 3.0  # of load ahead of the signal
_AFTER_S = 5.0  # of load once all is well
SETTLED_S = 15.0  # without another restart: Airflow notices late that its database was away
_EVERY_S = 0.1
# Some of Airflow's processes may end by themselves when their database goes away.
ENDS_WITHOUT_POSTGRES = frozenset(
    {"airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"}
)
_LOST_WITH = {("postgres", "SIGKILL"): ENDS_WITHOUT_POSTGRES}

# What else than the leader of a service is hit: its name here, and what stands in its command line.
PARTS = {"search worker": ("search", "serving.worker")}


@dataclass(frozen=True)
class Trial:
    """What one signal did.

    Attributes:
        target: a service, or a part of one.
        signal: SIGKILL or SIGSTOP.
        sent, failed: searches, from shortly before the signal until shortly after the health.
        healthy_s: seconds from the signal to health; None if it never came, or only by `make up`.
        by_hand_s: seconds that `make up` took, where it was needed.
        restarted: the other services whose process was another one afterwards.
        example: one of the failures.
    """

    target: str
    signal: str
    sent: int
    failed: int
    in_flight: int
    healthy_s: float | None
    by_hand_s: float | None
    restarted: tuple[str, ...]
    example: str

    @property
    def limit_s(self) -> float:
        """Within which it must be healthy."""
        return SOON_S if self.target.startswith("search") else LATER_S

    @property
    def may_fail(self) -> int:
        """How many searches may fail: those in flight, when what answers them was hit."""
        return self.in_flight if self.target.startswith("search") else 0

    @property
    def is_met(self) -> bool:
        """Whether it was healthy in time by itself, lost no more searches than it may, and had nothing else restarted.

        Of what needs PostgreSQL, Airflow's processes end by themselves when its connections break.
        """
        may = _LOST_WITH.get((self.target, self.signal), frozenset())
        in_time = self.healthy_s is not None and self.healthy_s <= self.limit_s
        return in_time and self.failed <= self.may_fail and may.issuperset(self.restarted)


def targets(configuration: Configuration) -> tuple[str, ...]:
    """Returns every service, and the parts of services that are hit apart from their leader."""
    return (*(service.name for service in services.all_services(configuration)), *PARTS)


def run_trial(
    configuration: Configuration,
    target: str,
    number: signal.Signals,
    *,
    bodies: Sequence[dict[str, Any]],
    limit_s: float = 90.0,
    suspended_s: float = SUSPENDED_S,
    settled_s: float = SETTLED_S,
    timeout_s: float = TIMEOUT_S,
) -> Trial:
    """Hits one process, and waits for health; after `limit_s` without it, does what `make up` does.

    Args:
        configuration: of a platform that runs.
        target: one of `targets`.
        number: SIGKILL or SIGSTOP.
        bodies: of the searches that are sent meanwhile.
        limit_s: after which health is no longer waited for.
        suspended_s: after which the process is told to go on, unless it goes on already.
        settled_s: for which nothing else may be restarted after all is healthy.
        timeout_s: after which a search has failed.

    Raises:
        TimeoutError: the platform is not healthy before the trial, or not even after `make up`.
    """
    name = PARTS[target][0] if target in PARTS else target
    wait_for_health(configuration, timeout_s=300.0)
    before = supervisor.read_records(configuration.layout)
    victim = find_victim(configuration, target)
    [service] = [one for one in services.all_services(configuration) if one.name == name]
    by_hand_s = None
    with steady_load(configuration.search_url, bodies, timeout_s=timeout_s) as load:
        time.sleep(_BEFORE_S)
        hit_at, ended = time.monotonic(), load.sent
        os.kill(victim.pid, number)
        in_flight = load.begun - ended
        # The call returns before the kernel has stopped it, and until then it is as healthy as ever.
        _until(lambda: state_of(victim) in ("", "T"), since=hit_at, limit_s=5.0)
        healthy_s = _until(
            lambda: _is_over(configuration, service, victim, number, hit_at=hit_at, suspended_s=suspended_s),
            since=hit_at,
            limit_s=limit_s,
        )
        if healthy_s is None:
            by_hand_s = _by_hand(configuration)
        time.sleep(_AFTER_S)
    after = _settled(configuration, calm_s=settled_s)
    return Trial(
        target=target,
        signal=number.name,
        sent=load.sent,
        failed=len(load.failures),
        in_flight=in_flight,
        healthy_s=healthy_s,
        by_hand_s=by_hand_s,
        restarted=tuple(sorted(one for one in before if one != name and after.get(one) != before[one])),
        example=load.failures[0] if load.failures else "",
    )


def find_victim(configuration: Configuration, target: str) -> processes.ProcessIdentity:
    """Returns the process that a trial hits: the leader of a service, or a part of it."""
    name, word = PARTS.get(target, (target, None))
    record = supervisor.read_records(configuration.layout)[name]
    if word is None:
        return record.leader
    found = supervisor.find_processes(configuration.layout, configuration.credentials.mark, record)
    parts = [one for one in found if one != record.leader and word in _command(one)]
    if not parts:
        raise LookupError(f"no process of {name} has {word!r} in its command line")
    return min(parts, key=lambda one: one.pid)


def wait_for_health(configuration: Configuration, *, timeout_s: float) -> None:
    """Waits until every service is healthy.

    Raises:
        TimeoutError: one is not.
    """
    wanted = services.all_services(configuration)
    found = _until(
        lambda: all(_is_healthy(configuration, service) for service in wanted),
        since=time.monotonic(),
        limit_s=timeout_s,
    )
    if found is None:
        sick = [service.name for service in wanted if not _is_healthy(configuration, service)]
        raise TimeoutError(f"not healthy after {timeout_s:.0f} s: {', '.join(sick)}")


def _settled(configuration: Configuration, *, calm_s: float) -> Mapping[str, supervisor.Record]:
    """Returns the records once all is healthy and nothing was restarted for a while."""
    records: Mapping[str, supervisor.Record] = {}
    since = time.monotonic()
    while time.monotonic() - since < calm_s:
        wait_for_health(configuration, timeout_s=300.0)
        found = supervisor.read_records(configuration.layout)
        if found != records:
            records, since = found, time.monotonic()
        time.sleep(1.0)
    return records


def _is_over(
    configuration: Configuration,
    service: Service,
    victim: processes.ProcessIdentity,
    number: signal.Signals,
    *,
    hit_at: float,
    suspended_s: float,
) -> bool:
    if number == signal.SIGSTOP and time.monotonic() - hit_at >= suspended_s:
        processes.send([victim], signal.SIGCONT)
    state = state_of(victim)
    if state == "T" or (state and number == signal.SIGKILL):
        return False
    return _is_healthy(configuration, service)


def _is_healthy(configuration: Configuration, service: Service) -> bool:
    record = supervisor.read_records(configuration.layout).get(service.name)
    if record is None or processes.is_dying(record.leader) or state_of(record.leader) == "T":
        return False
    if not service.is_ready(record.started_at):
        return False
    if service.name != "search":
        return True
    is_whole = _workers(configuration) >= configuration.settings.search_workers
    return is_whole and answers_http(f"{configuration.search_url}/readyz")


def _workers(configuration: Configuration) -> int:
    record = supervisor.read_records(configuration.layout)["search"]
    found = supervisor.find_processes(configuration.layout, configuration.credentials.mark, record)
    return sum("serving.worker" in _command(one) for one in found)


def _by_hand(configuration: Configuration) -> float:
    started = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VITRINE_")}
    environment["VITRINE_STATE_DIR"] = str(configuration.layout.state_dir)
    lifecycle.up(configuration.layout, environment, report=lambda _: None)
    return time.monotonic() - started


def _until(look: Callable[[], bool], *, since: float, limit_s: float) -> float | None:
    while time.monotonic() - since < limit_s:
        if look():
            return time.monotonic() - since
        time.sleep(_EVERY_S)
    return None


def _command(identity: processes.ProcessIdentity) -> str:
    return " ".join(processes.command_of(identity))
