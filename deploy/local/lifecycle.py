"""Up and down of the whole platform."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from importlib.metadata import version
from signal import SIGCONT

from deploy.local import postgres, processes, services, supervisor
from deploy.local.configuration import POOLS, Configuration, configure, write_env_file
from deploy.local.credentials import load_or_generate
from deploy.local.keeping import wish
from deploy.local.keeping.charge import clear_away, end_hanging
from deploy.local.keeping.history import forget_histories, forget_history
from deploy.local.keeping.observer import wait_for_answer
from deploy.local.layout import Layout, write_private
from deploy.local.mlflow_api import MlflowError
from deploy.local.mlflow_artifacts import take_over_artifacts
from deploy.local.probes import is_port_taken
from deploy.local.promotion_webhook import register_webhook
from deploy.local.records import is_unreadable
from deploy.local.services import Service
from deploy.local.supervisor import Record, ServiceError
from serving.replica_folder import ReplicaFolder
from vitrine.connections import open_ledger
from vitrine.errors import SettingsError
from vitrine.files.scratch import sweep_scratch

Report = Callable[[str], None]
_LEAVING_S = 60.0
_BATCHES = {"keeper": "keepers", "keeper-watch": "keepers", "postgres": "postgres"}


def up(layout: Layout, environment: Mapping[str, str], report: Report = print) -> Configuration:
    """Starts what is not running, and what runs with other settings than these; returns when all of it answers.

    Raises:
        SettingsError: a setting is wrong, or a port is taken by somebody else; nothing was started.
        ServiceError: a service did not become ready; those that did keep running.
    """
    layout.make()
    with wish.alone(layout, report, while_waiting=partial(_let_keepers_go_on, layout)):
        configuration = configure(layout, environment)
        wanted = {service.name: service for service in services.all_services(configuration)}
        records = supervisor.read_records(layout)
        dead = {name for name in wanted if name not in records or processes.is_dying(records[name].leader)}
        changed = {
            name
            for name in wanted.keys() - dead
            if records[name].specification != supervisor.specification(wanted[name], configuration)
        }
        _check_own_ports(wanted.values())
        _clear_away(configuration, [wanted[name] for name in wanted if name in dead], records, report)
        _check_ports(configuration, [wanted[name] for name in wanted if name in dead | changed], records)
        write_env_file(configuration)
        sweep_scratch(configuration.settings)
        wish.write_up(layout)
        for index in ReplicaFolder(layout.state_dir, configuration.settings.replica_id).forget_given_up():
            report(f"search worker {index}, which was given up, is tried again")
        if not dead | changed:
            report("everything is running")
        mark = configuration.credentials.mark
        _stop_in_order(layout, mark, [record for name, record in records.items() if name not in wanted], report)
        # They stay on record: should this command be killed before it has started them again, the keeper does it.
        _stop_in_order(layout, mark, [records[name] for name in wanted if name in changed], report, forget=False)
        running = {name: record for name, record in records.items() if name in wanted.keys() - dead - changed}
        _start(configuration, wanted, running, report)
    return configuration


def down(layout: Layout, report: Report = print) -> None:
    """Ends every process that the platform started, and no other.

    Raises:
        ServiceError: a process does not end.
    """
    if not layout.secrets_file.exists():
        report("nothing was started here")
        return
    with wish.alone(layout, report, while_waiting=partial(_let_keepers_go_on, layout)):
        wish.write_down(layout)
        mark = load_or_generate(layout).mark
        records = list(supervisor.read_records(layout).values())
        ended = _stop_in_order(layout, mark, records, report)
        strays = supervisor.stop_strays(layout, mark)
        for path in layout.records.glob("*.json"):  # what is left cannot be read
            path.unlink()
        if strays:
            report(f"ended {strays} processes that were left over")
        if not records and not strays:
            report("nothing was running")
        elif ended:
            report(f"{ended} processes had to be killed")
        forget_histories(layout)
        postgres.remove_short_socket_dir(layout)


def _let_keepers_go_on(layout: Layout) -> None:
    """Resumes keepers that a signal has suspended: one that was restarting something would be waited for, for ever."""
    records = (supervisor.read_record(layout, name) for name in services.KEEPERS)
    processes.send(processes.suspended(record.leader for record in records if record is not None), SIGCONT)


def _clear_away(
    configuration: Configuration, starting: list[Service], records: Mapping[str, Record], report: Report
) -> None:
    """Ends what dead services have left, which would hold their ports."""
    layout = configuration.layout
    for service in starting:
        if service.name in records:
            clear_away(service, records[service.name], configuration)
            continue
        ended = supervisor.stop_unrecorded(layout, configuration.credentials.mark, service.name)
        if is_unreadable(layout, service.name):
            report(f"the record of {service.name} cannot be read; {ended} processes that bear its mark were ended")
        if service.name == "postgres":
            postgres.remove_stale_locks(layout)


def _check_own_ports(wanted: Iterable[Service]) -> None:
    ports: dict[int, str] = {}
    problems = [
        f"{service.port_setting}={service.port} is the port of another service of the platform too; choose another"
        for service in wanted
        if service.port is not None and ports.setdefault(service.port, service.name) != service.name
    ]
    if problems:
        raise SettingsError("\n".join(problems))


def _check_ports(configuration: Configuration, starting: list[Service], records: Mapping[str, Record]) -> None:
    layout, mark = configuration.layout, configuration.credentials.mark
    ours = {record.port for record in records.values() if processes.is_alive(record.leader)}
    # Survivors that the next leader takes over hold the port for it.
    left = (records[service.name] for service in starting if service.survivors_are_adopted and service.name in records)
    ours |= {record.port for record in left if supervisor.find_processes(layout, mark, record)}
    ports = [(service.port, service) for service in starting if service.port is not None]
    problems = [
        f"port {port}, which {service.name} needs, is taken by another program; end that one, or choose another port: "
        f"{service.port_setting}={_free_port_near(port)}"
        for port, service in ports
        if port not in ours and not _comes_free(port, patience_s=_LEAVING_S if service.name in records else 0.0)
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
    layout, cancelled = configuration.layout, threading.Event()
    stale = wanted.keys() - running.keys()
    ready: set[str] = set()

    def bring_up(name: str) -> None:
        if cancelled.is_set():
            return
        if name in running:
            told_by = {*wanted[name].needs, *wanted[name].told_by}
            trouble = wait_for_answer(
                wanted[name], running[name], configuration, can_answer=lambda: told_by <= ready, cancelled=cancelled
            )
            if trouble is None:
                ready.add(name)
                return
            report(f"{name} {trouble}; it is started again")
            end_hanging(wanted[name], running[name], configuration)
        forget_history(layout, name)
        record = supervisor.start(wanted[name], configuration)
        seconds = supervisor.wait_until_ready(wanted[name], record, layout, cancelled=cancelled)
        ready.add(name)
        if not cancelled.is_set():
            report(f"{name} is ready after {seconds:.1f} s{_place(wanted[name])}")

    def bring_up_database() -> None:
        if "postgres" in stale:
            postgres.prepare(layout, configuration.credentials)
        bring_up("postgres")
        if stale:
            postgres.make_databases(layout, configuration.credentials)

    def bring_up_object_store() -> None:
        (layout.s3 / configuration.settings.bucket).mkdir(exist_ok=True, mode=0o700)
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

    # The keepers come first: should this command fail or be killed halfway, they keep what has started.
    keepers = [partial(bring_up, service.name) for service in services.keepers(configuration)]
    _together([bring_up_database, bring_up_object_store, *keepers], cancelled)
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


def _stop_in_order(layout: Layout, mark: str, records: list[Record], report: Report, *, forget: bool = True) -> int:
    """Ends the services: the keepers first, PostgreSQL last, since the others still write to it while they end."""
    batches: dict[str, list[Record]] = {"keepers": [], "others": [], "postgres": []}
    for record in records:
        batches[_BATCHES.get(record.name, "others")].append(record)
    killed = 0
    # A PostgreSQL that is killed recovers at its next start.
    for batch, grace_s in zip(batches.values(), (20.0, 20.0, 120.0), strict=True):
        if batch:
            killed += supervisor.stop(layout, mark, batch, grace_s=grace_s, forget=forget)
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


def _place(service: Service) -> str:
    return f" ({service.url})" if service.url else ""
