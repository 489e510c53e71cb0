"""Memory that a process may use held down: a cgroup of its own, and files put out of the page cache."""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from pathlib import Path

import numpy as np

_CGROUPS = Path("/sys/fs/cgroup")


class MemoryGroup:
    """A cgroup under this process's own, for the processes that are added to it; the context manager takes it away.

    What its processes map is charged to it, page cache included, so its limit holds the page cache down as well.

    Raises:
        OSError: none can be made here (not root, no delegation, no memory controller); the message says which.
    """

    def __init__(self, name: str) -> None:
        parent, self.version = _own_group()
        self.folder = parent / f"{name}-{os.getpid()}"
        self.folder.mkdir()
        if not (self.folder / self._limit_file).exists():
            self.folder.rmdir()
            raise OSError(f"{parent}: the memory controller is not enabled for groups under it")
        self._parent = parent

    def __enter__(self) -> MemoryGroup:
        return self

    def __exit__(self, *exception: object) -> None:
        for _ in range(50):  # processes that just ended leave after a moment
            try:
                self.folder.rmdir()
                return
            except OSError:
                time.sleep(0.1)

    def add(self, pid: int) -> None:
        """Puts a process in; what it used before stays charged to where it was."""
        (self.folder / "cgroup.procs").write_text(str(pid))

    def limit(self, size_bytes: int) -> None:
        """Sets what all its processes may hold together, page cache included."""
        for attempt in range(20):
            try:
                (self.folder / self._limit_file).write_text(str(size_bytes))
                return
            except OSError:  # pages in use cannot be taken at once
                if attempt == 19:
                    raise
                time.sleep(0.2)

    def held(self) -> dict[str, int]:
        """Returns the bytes of anonymous memory and of page cache that it holds."""
        names = (
            {"anonymous": "anon", "cached": "file"} if self.version == 2 else {"anonymous": "rss", "cached": "cache"}
        )
        lines = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        return {name: int(lines[key]) for name, key in names.items()}

    @property
    def _limit_file(self) -> str:
        return "memory.max" if self.version == 2 else "memory.limit_in_bytes"


def drop_from_page_cache(path: Path) -> float:
    """Puts a file out of the page cache; returns the share of it that stays, because a process maps it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return cached_share(path)


def cached_share(path: Path) -> float:
    """Returns the share of a file's pages that the page cache holds."""
    size = path.stat().st_size
    if not size:
        return 0.0
    pages = -(-size // mmap.PAGESIZE)
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), size, prot=mmap.PROT_READ) as mapped:
        address = np.frombuffer(mapped, dtype=np.uint8)
        held = np.zeros(pages, dtype=np.uint8)
        library = ctypes.CDLL(None, use_errno=True)
        failed = library.mincore(
            ctypes.c_void_p(address.ctypes.data), ctypes.c_size_t(size), ctypes.c_void_p(held.ctypes.data)
        )
        del address
        if failed:
            raise OSError(ctypes.get_errno(), "mincore")
    return float((held & 1).mean())


def _own_group() -> tuple[Path, int]:
    """Returns the folder of this process's memory group, and the version of its cgroups."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return _CGROUPS / "memory" / path.lstrip("/"), 1
    for _, controllers, path in lines:
        if not controllers and (_CGROUPS / "cgroup.controllers").exists():
            return _CGROUPS / path.lstrip("/"), 2
    raise OSError("no cgroup with a memory controller")
