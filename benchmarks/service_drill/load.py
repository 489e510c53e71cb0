"""A steady load of searches that waits for nobody: each is sent when it is due, and what became of it is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

RATE = 20.0  # requests a second
TIMEOUT_S = 10.0  # after which a request has failed
_AT_ONCE = 256  # more than are due while a request may wait


@dataclass
class Load:
    """What became of the requests; its threads append while the load lasts.

    Attributes:
        begun: were sent, or are about to be.
        answered: with 200.
        failures: what went wrong, a line for each other request.
    """

    begun: int = 0
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def sent(self) -> int:
        """How many were sent and have ended."""
        return self.answered + len(self.failures)


@contextmanager
def steady_load(url: str, bodies: Sequence[dict[str, Any]], *, timeout_s: float = TIMEOUT_S) -> Iterator[Load]:
    """Sends these bodies to `/v1/search` in turn until the block ends; when it has ended, so has every request."""
    load, stop = Load(), threading.Event()
    # A connection for each request, so that they meet every worker.
    limits = httpx.Limits(max_keepalive_connections=0)
    with (
        httpx.Client(base_url=url, timeout=timeout_s, trust_env=False, limits=limits) as client,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):

        def send_all() -> None:
            started = time.monotonic()
            sent = 0
            while not stop.wait(max(0.0, started + sent / RATE - time.monotonic())):
                pool.submit(_send, client, bodies[sent % len(bodies)], load)
                sent += 1

        sender = threading.Thread(target=send_all)
        sender.start()
        try:
            yield load
        finally:
            stop.set()
            sender.join()
            pool.shutdown()


def _send(client: httpx.Client, body: dict[str, Any], load: Load) -> None:
    with load.lock:
        load.begun += 1
    try:
        answer = client.post("/v1/search", json=body)
        failure = None if answer.status_code == httpx.codes.OK else f"{answer.status_code}: {answer.text[:120]}"
    except httpx.HTTPError as error:
        failure = f"{type(error).__name__}: {error}"
    with load.lock:
        if failure is None:
            load.answered += 1
        else:
            load.failures.append(failure)
