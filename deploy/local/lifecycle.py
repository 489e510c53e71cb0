"""Up, down and status of the whole platform."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

from deploy.local import postgres, processes, services, supervisor
from deploy.local.configuration import POOLS, Configuration, configure, write_env_file
from deploy.local.credentials import load_or_generate
from deploy.local.layout import Layout, write_private
from deploy.local.mlflow_api import MlflowError
from deploy.local.mlflow_artifacts import take_over_artifacts
from deploy.local.probes import is_port_taken
from deploy.local.promotion_webhook import register_webhook
from deploy.local.services import Service
from deploy.local.supervisor import Record, ServiceError
from vitrine.connections import open_ledger
from vitrine.errors import SettingsError

Report = Callable[[str], None]
_LEAVING_S = 60.0


@dataclass(frozen=True)
class ServiceState:
    """One line of the status.

    Attributes:
        memory_bytes: of all its processes, shared pages split between their users.
    """

    name: str
    is_running: bool
    pid: int | None
    process_count: int
    memory_bytes: int
    url: str | None


def up(layout: Layout, environment: Mapping[str, str], report: Report = print) -> Configuration:
    """Starts what is not running, and what runs with other settings than these; returns when all of it answers.

    Raises:
        SettingsError: a setting is wrong, or a port is taken by somebody else; nothing was started.
        ServiceError: a service did not become ready; those that did keep running.
    """
    layout.make()
    with _locked(layout, report):
        configuration = configure(layout, environment)
        wanted = services.all_services(configuration)
        records = supervisor.read_records(layout)
        stale = {service.name for service in wanted if not _runs_as_wanted(service, records, configuration)}
        if "postgres" in stale:
            stale = {service.name for service in wanted}  # the others hold connections to it
        _check_ports([service for service in wanted if service.name in stale], records)
        write_env_file(configuration)
        if not stale:
            report("everything is running")
        leftovers = [record for name, record in records.items() if name in stale]
        if leftovers:
            _stop_in_order(layout, configuration.credentials.mark, leftovers, report)
        running = {name: record for name, record in records.items() if name not in stale}
        _start(configuration, {service.name: service for service in wanted}, running, report)
    return configuration


def down(layout: Layout, report: Report = print) -> None:
    """Ends every process that the platform started, and no other.

    Raises:
        ServiceError: a process does not end.
    """
    if not layout.secrets_file.exists():
        report("nothing was started here")
        return
    with _locked(layout, report):
        mark = load_or_generate(layout).mark
        records = list(supervisor.read_records(layout).values())
        ended = _stop_in_order(layout, mark, records, report)
        strays = supervisor.stop_strays(layout, mark)
        if strays:
            report(f"ended {strays} processes that were left over")
        if not records and not strays:
            report("nothing was running")
        elif ended:
            report(f"{ended} processes had to be killed")
        postgres.remove_short_socket_dir(layout)


def status(layout: Layout, environment: Mapping[str, str]) -> list[ServiceState]:
    """Returns the state of each service; starts and changes nothing."""
    if not layout.env_file.exists():
        return []
    configuration = configure(layout, environment)
    records = supervisor.read_records(layout)
    states = []
    for service in services.all_services(configuration):
        record = records.get(service.name)
        running = record is not None and processes.is_alive(record.leader)
        found = supervisor.find_processes(layout, configuration.credentials.mark, record) if record else set()
        states.append(
            ServiceState(
                name=service.name,
                is_running=running,
                pid=record.leader.pid if record is not None and running else None,
                process_count=len(found),
                memory_bytes=processes.memory_bytes(found),
                url=service.url,
            )
        )
    return states


def _runs_as_wanted(service: Service, records: Mapping[str, Record], configuration: Configuration) -> bool:
    record = records.get(service.name)
    if record is None or processes.is_dying(record.leader):
        return False
    return record.specification == supervisor.specification(service, configuration)


def _check_ports(starting: list[Service], records: Mapping[str, Record]) -> None:
    ours = {record.port for record in records.values() if processes.is_alive(record.leader)}
    ports = [(service.port, service) for service in starting if service.port is not None]
    problems = [
        f"port {port}, which {service.name} needs, is taken by another program; end that one, or choose another port: "
        f"{service.port_setting}={_free_port_near(port)}"
        for port, service in ports
        if port not in ours and not _comes_free(port, patience_s=_LEAVING_S if service.name in records else 0.0)
    ]
    numbers = [port for port, _ in ports]
    problems += [
        f"{service.port_setting}={port} is the port of another service of the platform too; choose another"
        for index, (port, service) in enumerate(ports)
        if port in numbers[:index]
    ]
    if problems:
        raise SettingsError("\n".join(problems))


def _comes_free(port: int, *, patience_s: float) -> bool:
    """Waits for a port: after a service was killed, its workers hold it for as long as they take to leave."""
    deadline = time.monotonic() + patience_s
    while is_port_taken(port):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)
    return True


def _free_port_near(port: int) -> int:
    return next((near for near in range(port + 1, min(port + 200, 65536)) if not is_port_taken(near)), port + 1)


def _start(
    configuration: Configuration, wanted: Mapping[str, Service], running: Mapping[str, Record], report: Report
) -> None:
    """Starts in the order that the dependencies allow; what does not depend on each other starts side by side.

    What runs is only asked whether it answers: a command that was interrupted may have started it a moment ago.
    """
    cancelled = threading.Event()
    stale = wanted.keys() - running.keys()

    def bring_up(name: str) -> None:
        if cancelled.is_set():
            return
        record = running.get(name) or supervisor.start(wanted[name], configuration)
        layout = configuration.layout
        seconds = supervisor.wait_until_ready(wanted[name], record, layout, cancelled=cancelled)
        if name in stale and not cancelled.is_set():
            report(f"{name} is ready after {seconds:.1f} s{_place(wanted[name])}")

    def bring_up_database() -> None:
        if "postgres" in stale:
            postgres.prepare(configuration.layout, configuration.credentials)
        bring_up("postgres")
        if stale:
            postgres.make_databases(configuration.layout, configuration.credentials)

    def bring_up_object_store() -> None:
        (configuration.layout.s3 / configuration.settings.bucket).mkdir(exist_ok=True, mode=0o700)
        bring_up("s3")

    def bring_up_mlflow() -> None:
        if "mlflow" in stale and (moved := take_over_artifacts(configuration)):
            report(f"{moved} artifacts of MLflow are moved to {configuration.layout.mlflow_artifacts}")
        bring_up("mlflow")
        try:
            if not cancelled.is_set() and register_webhook(configuration):
                report("MLflow tells Airflow when an alias moves")
        except MlflowError as error:
            report(f"no webhook tells Airflow when an alias moves, so it is asked for: {error}")

    def bring_up_search() -> None:
        if stale:
            with contextlib.closing(open_ledger(configuration.settings)) as ledger:
                ledger.migrate()
        bring_up("search")

    def bring_up_airflow() -> None:
        names = [name for name in wanted if name.startswith("airflow-")]
        if stale.intersection(names):
            _migrate_airflow(configuration, report)
        _together([partial(bring_up, name) for name in names], cancelled)

    _together([bring_up_database, bring_up_object_store, partial(bring_up, "log-keeper")], cancelled)
    _together([bring_up_airflow, bring_up_mlflow, bring_up_search], cancelled)


def _migrate_airflow(configuration: Configuration, report: Report) -> None:
    layout = configuration.layout
    stamp = layout.airflow_home / "migrated"
    database = layout.postgres / "data" / "PG_VERSION"
    content = f"{version('apache-airflow')} {POOLS} {database.stat().st_mtime_ns}"
    wanted = hashlib.sha256(content.encode()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    started = time.monotonic()
    log = layout.logs / "airflow-migrate.log"
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.local.airflow_database"],
            env=configuration.service_environment(),
            cwd=layout.work,
            stdout=output,
            stderr=subprocess.STDOUT,
            umask=0o077,
            check=False,
        )
    if done.returncode != 0:
        raise ServiceError(f"Airflow's database cannot be migrated; see {log}\n{supervisor.log_tail(log)}")
    write_private(stamp, wanted)
    report(f"Airflow's database is migrated after {time.monotonic() - started:.1f} s")


def _stop_in_order(layout: Layout, mark: str, records: list[Record], report: Report) -> int:
    """Ends the services, PostgreSQL last: the others still write to it while they end."""
    first = [record for record in records if record.name != "postgres"]
    last = [record for record in records if record.name == "postgres"]
    killed = 0
    for batch, grace_s in ((first, 20.0), (last, 120.0)):  # a PostgreSQL that is killed recovers at its next start
        if batch:
            killed += supervisor.stop(layout, mark, batch, grace_s=grace_s)
            report("ended " + ", ".join(record.name for record in batch))
    return killed


def _together(steps: list[Callable[[], None]], cancelled: threading.Event) -> None:
    """Runs the steps side by side; the first error, or an interrupt, ends the waiting of the others."""
    with ThreadPoolExecutor(max_workers=len(steps)) as pool:
        try:
            for future in as_completed([pool.submit(step) for step in steps]):
                future.result()
        except BaseException:
            cancelled.set()
            raise


@contextlib.contextmanager
def _locked(layout: Layout, report: Report) -> Iterator[None]:
    with os.fdopen(os.open(layout.lock, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another command that starts or ends services")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _place(service: Service) -> str:
    return f" ({service.url})" if service.url else ""
