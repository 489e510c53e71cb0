"""The front of a worker alone, in a process of its own, and what a client sends to it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

WAIT_S = 300.0

# The front of a worker alone: a body of at most 1 MB, 2 MB held together, a thread for pictures and one for all else.
# `…/held/image` is answered once somebody has asked for `/open`, `/size/N` with N bytes.
_LONE_FRONT = """
import json, os, socket, sys, threading
import serving.front
from flask import Flask, request
from serving import problems
from serving.application import _measure
from serving.front import Front
from serving.metrics import Metrics
from serving.open_connections import Limits
from serving.worker import _serve
app = Flask("front")
app.config["MAX_CONTENT_LENGTH"] = 1_000_000
problems.install(app)
_measure(app, Metrics())
gate = threading.Event()
@app.route("/<path:path>", methods=["GET", "POST"])
def echo(path):
    if path.startswith("size/"):
        return b"x" * int(path.removeprefix("size/"))
    if path == "held/image":
        gate.wait()
    if path in ("open", "shut"):
        (gate.set if path == "open" else gate.clear)()
    return {"path": path, "bytes": len(request.get_data()), "query": request.query_string.decode()}
environment_of = serving.front._environ
def breakable(scope):
    if "x-break-the-front" in scope.headers:
        raise ValueError("broken on purpose")
    return environment_of(scope)
serving.front._environ = breakable
listening = socket.create_server(("127.0.0.1", 0))
listening.setblocking(False)
front = Front(
    app,
    threads=1,
    picture_threads=1,
    max_body_bytes=1_000_000,
    body_timeout_s=float(sys.argv[1]),
    max_held_bytes=2_000_000,
    limits=Limits(**json.loads(sys.argv[2])),
)
_serve(front, listening.fileno(), accepting=lambda _: print(listening.getsockname()[1], flush=True))
os._exit(0)  # as a worker ends
"""


@contextmanager
def lone_front(*, body_timeout_s: float = 3_600.0, **limits: float) -> Iterator[int]:
    """Runs a front in a process of its own and gives its port; `limits` are those of connections."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", _LONE_FRONT, str(body_timeout_s), json.dumps(limits)]
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
