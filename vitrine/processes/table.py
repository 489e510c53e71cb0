"""Processes of this machine, as /proc shows them: who one is, for ever, and what it is doing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ProcessIdentity:
    """One process, for ever: a pid alone is used again by other programs.

    Attributes:
        pid: its number.
        started: boot id and start time in clock ticks since that boot.
    """

    pid: int
    started: str

    @property
    def age_s(self) -> float:
        """Seconds since it started, on this boot."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(self.started.rpartition(":")[2]) / _TICKS_PER_S


def identify(pid: int) -> ProcessIdentity | None:
    """Returns who has this pid now, or None when nobody has (a zombie is nobody)."""
    found = _read(pid)
    return found[0] if found and found[1] not in "ZX" else None


def is_alive(identity: ProcessIdentity) -> bool:
    """Tells whether this very process still runs."""
    return identify(identity.pid) == identity


def state_of(identity: ProcessIdentity) -> str:
    """Returns the letter of proc_pid_stat(5) for its main thread, or nothing when the process is gone.

    `T`: a signal (SIGSTOP) holds it. `t`: a debugger does. `R`: it runs, or waits for a core. `D`: it waits for a disk.
    """
    found = _read(identity.pid)
    return found[1] if found and found[0] == identity and found[1] not in "ZX" else ""


def thread_states(identity: ProcessIdentity) -> str:
    """Returns the letters of all its threads, in no order; nothing when the process is gone."""
    letters = []
    with suppress(OSError):  # it ended meanwhile
        for thread in list(Path(f"/proc/{identity.pid}/task").iterdir()):
            with suppress(OSError):  # this thread of it did
                letters.append(stat_fields(thread / "stat")[0])
    return "".join(letters) if is_alive(identity) else ""


def boot_id() -> str:
    """Returns what names this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def stat_fields(path: Path) -> list[str]:
    """Returns the fields of proc_pid_stat(5) from the third on, the state.

    Raises:
        OSError: the process, or the thread, is gone.
    """
    # The name in brackets may hold blanks, brackets and bytes of any kind; fields count from the last bracket.
    line = path.read_bytes()
    return line[line.rindex(b")") + 2 :].decode("ascii").split()


def cpu_s_in(fields: Sequence[str]) -> float:
    """Returns the CPU seconds that `stat_fields` tells: of all threads of a process, without its children."""
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / _TICKS_PER_S


def send(identity: ProcessIdentity, number: signal.Signals) -> None:
    """Sends a signal to a process if it is still the same one."""
    try:
        # A pidfd holds the process itself: between the check and the signal the pid cannot change hands.
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        if is_alive(identity):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _read(pid: int) -> tuple[ProcessIdentity, str] | None:
    try:
        fields = stat_fields(Path(f"/proc/{pid}/stat"))
        return ProcessIdentity(pid, f"{boot_id()}:{fields[19]}"), fields[0]
    except OSError:
        return None
