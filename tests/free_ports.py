"""Ports for what tests start: none that the kernel hands out by itself, and each for one test run on this machine."""

from __future__ import annotations

import os
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

from vitrine.files.locks import take_lock

_LOWEST = 10_240  # above the ports of services that people run
_drawn = random.SystemRandom()  # tests seed the other generator
_reserved: list[IO[str]] = []  # open, and so locked, for as long as this process lives


def free_port() -> int:
    """Returns a port of the loopback interface on which nothing listens."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Returns different ports of the loopback interface on which nothing listens.

    Between this call and the moment when a test's server listens nobody else gets them: a port that the kernel chooses
    for an outgoing connection is from another range, and other test runs find them reserved.
    """
    folder = Path(tempfile.gettempdir()) / f"vitrine-test-ports-{os.geteuid()}"
    folder.mkdir(exist_ok=True, mode=0o700)
    ports: list[int] = []
    while len(ports) < count:
        port = _drawn.randrange(_LOWEST, _first_ephemeral())
        if _is_free(port) and _reserve(folder / str(port)):
            ports.append(port)
    return ports


def _first_ephemeral() -> int:
    """The first port that the kernel gives to outgoing connections, or a usual one where that leaves too few below."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return first if first > 2 * _LOWEST else 32_768


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _reserve(path: Path) -> bool:
    file = path.open("w")
    if not take_lock(file, wait=False):
        file.close()
        return False
    _reserved.append(file)
    return True
