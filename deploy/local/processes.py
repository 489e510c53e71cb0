"""Processes of one platform: which are ours, and how they end. A pid alone never names a process here.

A pid is used again by other programs, so a process is a pid together with the boot and the tick at which it started.
Everything that a platform starts is found by four marks, because each of them can be lost: the recorded leader, its
descendants, its session, and a variable in the environment that children inherit (programs that set their title, as
PostgreSQL and Airflow do, overwrite that variable).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vitrine.processes import table
from vitrine.processes.table import (
    ProcessIdentity,
    boot_id,
    cpu_s_in,
    identify,  # noqa: F401 - part of what this module offers
    is_alive,
    stat_fields,
    thread_states,
)

# Not VITRINE_*: it is not a setting, and it must never stand in the env file that people source.
MARK = "_VITRINE_PLATFORM"
# include/linux/sched.h; `flags` is field 9 of proc_pid_stat(5).
_PF_EXITING = 0x4
_SIGKILL_BIT = 1 << (signal.SIGKILL - 1)


@dataclass(frozen=True)
class ProcessRow:
    """One line of the process table.

    Attributes:
        is_exiting: the kernel takes it apart.
        is_suspended: a signal (SIGSTOP) holds it; a process that a debugger holds is not counted.
        cpu_s: CPU seconds that it has used, without its children.
    """

    identity: ProcessIdentity
    parent: int
    session: int
    is_zombie: bool
    is_exiting: bool
    is_suspended: bool
    cpu_s: float


def is_dying(identity: ProcessIdentity) -> bool:
    """Tells whether this process has ended or has been killed and has yet to leave.

    A killed process stays in the table until it was scheduled once more, which takes a while on a busy machine.
    """
    # In this order: a process whose pid passes to another between the two reads is found to be gone.
    is_killed = _is_killed(identity.pid)
    row = _read_row(identity.pid, boot_id())
    return is_killed or row is None or row.is_zombie or row.identity != identity or row.is_exiting


def suspended(identities: Iterable[ProcessIdentity]) -> set[ProcessIdentity]:
    """Returns those of the processes that a signal (SIGSTOP) holds; SIGCONT lets them go on."""
    return {row.identity for row in _rows_of(identities) if row.is_suspended}


def tree_of(leader: ProcessIdentity) -> set[ProcessIdentity]:
    """Returns a process and its descendants, without walking the process table; one that starts now may be missing."""
    boot = boot_id()
    found, waiting = set(), [leader.pid]
    while waiting:
        pid = waiting.pop()
        row = _read_row(pid, boot)
        if row is None or row.is_zombie or (pid == leader.pid and row.identity != leader):
            continue
        found.add(row.identity)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting += map(int, children.read_text().split())
            except OSError:  # the thread has ended
                continue
    return found


def cpu_s(identities: Iterable[ProcessIdentity]) -> float:
    """Returns the CPU seconds that the processes have used so far."""
    return sum(row.cpu_s for row in _rows_of(identities))


def wants_to_work(identities: Iterable[ProcessIdentity]) -> bool:
    """Tells whether a thread of the processes has a CPU, waits for one, or waits for a disk."""
    return any(set(thread_states(identity)) & {"R", "D"} for identity in identities)


def command_of(identity: ProcessIdentity) -> tuple[str, ...]:
    """Returns the command line of a process; empty when it is gone."""
    try:
        words = Path(f"/proc/{identity.pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return ()
    return tuple(os.fsdecode(word) for word in words) if is_alive(identity) else ()


def service_mark(mark: str, service: str) -> str:
    """Returns the value of `MARK` for one service; it begins with the platform's."""
    return f"{mark}:{service};"


def find_ours(leaders: Iterable[ProcessIdentity], *, mark: str, state_dir: Path) -> set[ProcessIdentity]:
    """Returns every process that runs and that the platform started, children of children too.

    Args:
        leaders: the recorded service processes; one whose pid belongs to another program by now counts for nothing.
        mark: how the value of `MARK` begins in the environment of everything that is looked for.
        state_dir: the platform's folder, under which its services have their working folder.
    """
    table = {row.identity.pid: row for row in _table() if not row.is_zombie}
    known = list(leaders)
    ours = {leader.pid for leader in known if leader.pid in table and table[leader.pid].identity == leader}
    ours |= {pid for pid in table if _has_mark(pid, mark)}
    # A leader may be dead while its session lives on. The session's number is not given out again before its last
    # member ends; the working folder guards against a number that was free in between.
    sessions = {leader.pid for leader in known}
    for row in table.values():
        if row.session in ours or (row.session in sessions and row.session not in table and _works_in(row, state_dir)):
            ours.add(row.identity.pid)
    children: dict[int, list[int]] = {}
    for row in table.values():
        children.setdefault(row.parent, []).append(row.identity.pid)
    waiting = list(ours)
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child not in ours:
                ours.add(child)
                waiting.append(child)
    ours.discard(os.getpid())
    return {table[pid].identity for pid in ours}


def find_running(program: Path, *, folder: Path) -> set[ProcessIdentity]:
    """Returns every process that runs this program with this very folder as its working folder."""
    found = set()
    program, folder = program.resolve(), folder.resolve()
    for row in _table():
        try:
            process = Path(f"/proc/{row.identity.pid}")
            is_it = (process / "cwd").readlink() == folder and (process / "exe").readlink() == program
        except OSError:
            continue
        if is_it:
            found.add(row.identity)
    return found


def send(identities: Iterable[ProcessIdentity], number: signal.Signals) -> None:
    """Sends a signal to each process that is still the same one."""
    for identity in identities:
        table.send(identity, number)


def wait_for_end(identities: Iterable[ProcessIdentity], *, timeout_s: float) -> set[ProcessIdentity]:
    """Waits until the processes have ended; returns those that have not after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    left = set(identities)
    while left:
        left = {identity for identity in left if is_alive(identity)}
        if not left or time.monotonic() >= deadline:
            break
        time.sleep(0.05)
    return left


def memory_bytes(identities: Iterable[ProcessIdentity]) -> int:
    """Returns the memory of the processes in bytes, shared pages split between their users where the kernel tells."""
    total = 0
    for identity in identities:
        try:
            text = Path(f"/proc/{identity.pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024
    return total


def _rows_of(identities: Iterable[ProcessIdentity]) -> list[ProcessRow]:
    boot = boot_id()
    rows = ((identity, _read_row(identity.pid, boot)) for identity in identities)
    return [row for identity, row in rows if row is not None and row.identity == identity]


def _table() -> list[ProcessRow]:
    boot = boot_id()
    rows = (_read_row(int(entry.name), boot) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [row for row in rows if row is not None]


def _read_row(pid: int, boot: str) -> ProcessRow | None:
    try:
        fields = stat_fields(Path(f"/proc/{pid}/stat"))
    except OSError:
        return None
    state, parent, session, started = fields[0], int(fields[1]), int(fields[3]), fields[19]
    identity = ProcessIdentity(pid, f"{boot}:{started}")
    return ProcessRow(
        identity,
        parent,
        session,
        is_zombie=state in "ZX",
        is_exiting=bool(int(fields[6]) & _PF_EXITING),
        is_suspended=state == "T",
        cpu_s=cpu_s_in(fields),
    )


def _is_killed(pid: int) -> bool:
    """Tells whether SIGKILL waits for a process, from the moment it was sent until nothing is left of the process.

    A thread that begins to die takes SIGKILL off its own queue (`SigPnd`, field 31 of proc_pid_stat(5)) some time
    before it is marked as exiting; on the queue of the whole process (`ShdPnd`) the signal stays to the end.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_bytes().split(b"\n")
    except OSError:
        return False
    queues = (int(line.split()[1], 16) for line in lines if line.startswith((b"SigPnd:", b"ShdPnd:")))
    return any(queue & _SIGKILL_BIT for queue in queues)


def _has_mark(pid: int, mark: str) -> bool:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(variable.startswith(f"{MARK}={mark}".encode()) for variable in variables)


def _works_in(row: ProcessRow, folder: Path) -> bool:
    try:
        return Path(f"/proc/{row.identity.pid}/cwd").readlink().is_relative_to(folder)
    except OSError:
        return False
