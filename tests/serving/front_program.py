"""The front of a worker, as a program: `python -m tests.serving.front_program BODY_TIMEOUT_S LIMITS`.

It takes a body of at most 1 MB, 2 MB held together, and has one thread for pictures and one for all else.
`/held/image` is answered once somebody has asked for `/open`, `/size/N` by N bytes. A request with the header
`x-break-the-front` fails where no app catches it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from typing import Any

from flask import Flask, request

import serving.front
from serving import problems
from serving.application import measure_requests
from serving.front import Front
from serving.metrics import Metrics
from serving.open_connections import Limits
from serving.request_head import RequestHead, environ_of
from serving.worker import serve_until_ended


def _app() -> Flask:
    app = Flask("front")
    app.config["MAX_CONTENT_LENGTH"] = 1_000_000
    problems.install(app)
    measure_requests(app, Metrics())
    gate = threading.Event()

    @app.route("/<path:path>", methods=["GET", "POST"])
    def echo(path: str) -> Any:
        if path.startswith("size/"):
            return b"x" * int(path.removeprefix("size/"))
        if path == "held/image":
            gate.wait()
        if path in ("open", "shut"):
            (gate.set if path == "open" else gate.clear)()
        return {"path": path, "bytes": len(request.get_data()), "query": request.query_string.decode()}

    return app


def _breakable(head: RequestHead) -> dict[str, Any]:
    if "x-break-the-front" in head.headers:
        raise ValueError("broken on purpose")
    return environ_of(head)


def main() -> None:
    """Answers until SIGTERM; its port is the first line that it prints."""
    serving.front.environ_of = _breakable
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    front = Front(
        _app(),
        threads=1,
        picture_threads=1,
        max_body_bytes=1_000_000,
        body_timeout_s=float(sys.argv[1]),
        max_held_bytes=2_000_000,
        limits=Limits(**json.loads(sys.argv[2])),
    )
    serve_until_ended(front, listening.fileno(), accepting=lambda _: print(listening.getsockname()[1], flush=True))
    os._exit(0)  # as a worker ends


if __name__ == "__main__":
    main()
