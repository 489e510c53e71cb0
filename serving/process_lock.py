"""A lock that a process holds while it lives, and of which the kernel tells who holds it.

A POSIX record lock (fcntl(2)) belongs to one process: children do not inherit it, and the system frees it when its
holder ends, however it ends. It is also freed when its holder closes *any* descriptor of the file: a process never
looks at a lock that it holds itself.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path

from vitrine.processes.table import ProcessIdentity, identify

# struct flock of Linux: type, whence, start, length, process.
_FLOCK = struct.Struct("@hhqqi4x")
_MAX_NOTE_BYTES = 4_096
_LOOKS = 20
_LOOK_S = 0.01


class ProcessLock:
    """The lock of one file; the file also carries a note of its holder."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self, note: str = "") -> bool:
        """Takes the lock, for as long as this process lives, and leaves a note; tells whether nobody else holds it."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            return False
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, note.encode(), 0)
        return True


def lock_holder(path: Path) -> ProcessIdentity | None:
    """Returns which process holds a lock, or None.

    A killed process may hold it until the last of its threads has left the kernel; it then has the start `ending`.
    """
    pid = _holding_pid(path)
    for _ in range(_LOOKS):
        if pid <= 0:
            return None
        found, again = identify(pid), _holding_pid(path)
        if found is not None and again == pid:  # else it ended, and the number may be another's by now
            return found
        if again == pid:
            time.sleep(_LOOK_S)  # its main thread has ended, the others are being ended
        pid = again
    return ProcessIdentity(pid, "ending")


def lock_note(path: Path) -> str:
    """Returns what the present or last holder noted; nothing when it had no time to."""
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_NOTE_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""


def _holding_pid(path: Path) -> int:
    """0: nobody, or a process of another container that shares the folder."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    return 0 if kind == fcntl.F_UNLCK else int(pid)
