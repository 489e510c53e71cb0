"""The front of a worker alone, in a process of its own, and what a client sends to it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.waiting import wait_for

WAIT_S = 300.0


@contextmanager
def lone_front(*, body_timeout_s: float = 3_600.0, **limits: float) -> Iterator[int]:
    """Runs a front in a process of its own and gives its port; `limits` are those of connections."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "tests.serving.front_program", str(body_timeout_s), json.dumps(limits)]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        status = process.wait(timeout=300)
    assert status == 0


def send(port: int, head: str, body: bytes = b"") -> socket.socket:
    """Sends the beginning of a request: `body` begins with the line end that closes the head."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
    connection.sendall(f"{head}\r\nHost: vitrine\r\n".encode() + body)
    return connection


def answer(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """Reads the status and the JSON of one answer, and closes the connection."""
    with closing(connection), connection.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        length = 0
        while (line := stream.readline().strip()) != b"":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return status, json.loads(stream.read(length))


def wait_until_read(connections: list[socket.socket]) -> None:
    """Returns once the server has taken every byte sent to it: the kernel holds none for these connections."""
    ports = {connection.getsockname()[1] for connection in connections}

    def all_are_read() -> bool:
        held = {}
        for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
            _, _, there, _, queues, *_ = line.split()
            held[int(there.rpartition(":")[2], 16)] = int(queues.rpartition(":")[2], 16)
        return all(held.get(port) == 0 for port in ports)

    wait_for(all_are_read, what=f"the reading of what {len(ports)} connections sent")
