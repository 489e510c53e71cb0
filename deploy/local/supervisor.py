"""Starts a service once, remembers exactly which process it is, and ends it with everything that it started."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals
from typing import IO

from deploy.local import postgres, processes
from deploy.local.configuration import Configuration
from deploy.local.layout import Layout
from deploy.local.processes import ProcessIdentity
from deploy.local.records import Record, forget_record, read_record, read_records, write_record
from deploy.local.services import Service
from vitrine.errors import VitrineError

__all__ = ["Record", "ServiceError", "find_processes", "log_tail", "read_record", "read_records", "specification"]
__all__ += ["start", "stop", "stop_strays", "stop_unrecorded", "wait_until_ready"]

_KILL_ROUNDS = 5
# What runs between this program and a service: tells the service's number, and leaves.
_APART = """\
import os, sys
told = int(sys.argv[1])
pid = os.fork()
if pid:
    os.write(told, str(pid).encode())
    os._exit(0)
os.close(told)
os.setsid()
os.execvp(sys.argv[2], sys.argv[2:])
"""
_KILLED_S = 30.0  # a killed process leaves when it is scheduled once more and its memory was taken apart


class ServiceError(VitrineError):
    """A service could not be started, or did not become ready."""


def specification(service: Service, configuration: Configuration) -> str:
    """Returns a hash of what decides how the service runs; what a terminal adds to the environment does not."""
    content = [service.command, sorted(service.variables.items())]
    if service.reads:
        content += [sorted(configuration.readable(service.reads).items()), configuration.environment_stamp]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def start(service: Service, configuration: Configuration) -> Record:
    """Starts a service in a session of its own and records it.

    Raises:
        ServiceError: it ended at once.
    """
    layout = configuration.layout
    log = layout.logs / f"{service.name}.log"
    mark = processes.service_mark(configuration.credentials.mark, service.name)
    environment = {**configuration.service_environment(service.reads), **service.variables, processes.MARK: mark}
    started_at = time.time()
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as output:
        output.write(f"--- {time.strftime('%F %T')} start: {' '.join(service.command)}\n".encode())
        output.flush()
        leader = _start_apart(service.command, environment=environment, folder=layout.work, output=output)
    if leader is None:
        raise ServiceError(f"{service.name} ended at once; its log is {log} and ends:\n{log_tail(log)}")
    record = Record(
        name=service.name,
        leader=leader,
        specification=specification(service, configuration),
        started_at=started_at,
        stop_signal=int(service.stop_signal),
        port=service.port,
    )
    write_record(layout, record)
    return record


def wait_until_ready(
    service: Service, record: Record, layout: Layout, *, cancelled: threading.Event | None = None
) -> float:
    """Waits until the service answers, or until `cancelled` is set; returns the seconds since its start.

    Raises:
        ServiceError: it ended or did not answer in time; the message holds the end of its log.
    """
    deadline = time.monotonic() + service.ready_timeout_s
    while not service.is_ready(record.started_at):
        if not processes.is_alive(record.leader):
            what = "ended while starting"
        elif time.monotonic() > deadline:
            what = f"did not answer within {service.ready_timeout_s:.0f} s"
        elif cancelled is not None and cancelled.is_set():
            break
        else:
            time.sleep(0.2)
            continue
        log = layout.logs / f"{service.name}.log"
        raise ServiceError(f"{service.name} {what}; its log is {log} and ends:\n{log_tail(log)}")
    return time.time() - record.started_at


def stop(layout: Layout, mark: str, records: Iterable[Record], *, grace_s: float = 20.0, forget: bool = True) -> int:
    """Ends services with all that they started; returns how many processes had to be killed.

    Each gets the signal that ends it in order, then time, and what is left after `grace_s` is killed.

    Args:
        layout: of the platform.
        mark: of the platform.
        records: of the services.
        grace_s: for which they may go on.
        forget: removes the records too; False where the services are started again at once, so that one whose start is
            cut short by a kill is not forgotten.

    Raises:
        ServiceError: a process outlived even SIGKILL.
    """
    stopping = list(records)
    found = {record.name: find_processes(layout, mark, record) for record in stopping}
    for record in stopping:
        # PostgreSQL's own children take a signal from their parent only: a lone SIGTERM there is a crash recovery.
        targets = found[record.name] if record.stop_signal == SIGTERM else {record.leader}
        processes.send(targets, Signals(record.stop_signal))
        processes.send(processes.suspended(targets), SIGCONT)  # a signal reaches a suspended process when it goes on
    left = processes.wait_for_end(set().union(*found.values()), timeout_s=grace_s)
    killed = set(left)
    # A process may have started others while it was being ended, so look again until nobody is left.
    for _ in range(_KILL_ROUNDS):
        left |= set().union(*(find_processes(layout, mark, record) for record in stopping))
        killed |= left
        processes.send(left, SIGKILL)
        left = processes.wait_for_end(left, timeout_s=_KILLED_S)
        if not left and not any(find_processes(layout, mark, record) for record in stopping):
            break
    else:
        pids = ", ".join(str(identity.pid) for identity in left)
        raise ServiceError(
            f"these processes of {layout.state_dir} do not end: {pids}; look at them with `ps -fp {pids}`"
        )
    for record in stopping if forget else ():
        forget_record(layout, record.name)
    return len(killed)


def stop_unrecorded(layout: Layout, mark: str, name: str) -> int:
    """Ends what carries the mark of a service that has no record; returns how many processes that were."""
    return _end(processes.find_ours([], mark=processes.service_mark(mark, name), state_dir=layout.state_dir))


def stop_strays(layout: Layout, mark: str) -> int:
    """Ends what carries the platform's mark but belongs to no record: what was started in the moment of a crash."""
    return _end(processes.find_ours([], mark=mark, state_dir=layout.state_dir))


def find_processes(layout: Layout, mark: str, record: Record) -> set[ProcessIdentity]:
    """Returns every running process of one service."""
    mark = processes.service_mark(mark, record.name)
    found = processes.find_ours([record.leader], mark=mark, state_dir=layout.state_dir)
    return found | postgres.server_processes(layout) if record.name == "postgres" else found


def _start_apart(
    command: Sequence[str], *, environment: Mapping[str, str], folder: Path, output: IO[bytes]
) -> ProcessIdentity | None:
    """Starts a program in a session of its own, as nobody's child; returns who it is, or None if it has ended already.

    A child would be ended with whoever started it, who is found with all descendants, and would stay a zombie where
    that one never asks for its end.
    """
    read, write = os.pipe()
    with os.fdopen(read, "rb") as told:
        try:
            middle = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _APART, str(write), *command],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(write,),
                start_new_session=True,
                umask=0o077,
            )
        finally:
            os.close(write)
        pid = told.read()
        middle.wait()
    return processes.identify(int(pid)) if pid else None


def _end(strays: set[ProcessIdentity]) -> int:
    processes.send(strays, SIGTERM)
    remaining = processes.wait_for_end(strays, timeout_s=10.0)
    processes.send(remaining, SIGKILL)
    processes.wait_for_end(remaining, timeout_s=_KILLED_S)
    return len(strays)


def log_tail(path: Path, lines: int = 15) -> str:
    """Returns the last lines of a log, indented."""
    if not path.exists():
        return "    (no log)"
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 16_384))
        tail = file.read().decode("utf-8", errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in tail)
