"""Sends requests to a search tier by plain sockets, and tells what came back."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing

from benchmarks.attacks.request_mutants import Mutant

TIMEOUT_S = 60.0  # a busy machine is no hang; a front that waits for ever is one


def send_all(
    mutants: Iterable[Mutant], port: int, *, connections: int = 8, tell: Callable[[Mutant, str], None] | None = None
) -> Counter[str]:
    """Sends each by a connection of its own; counts `2xx` to `5xx`, `503`, `closed` and `hung`.

    Args:
        tell: is called with what did not hold: a status of 500 or more but for 503, a hang, a whole request without an
            answer (`dropped`).
    """
    found: Counter[str] = Counter()
    lock, drawn = threading.Lock(), iter(mutants)

    def work() -> None:
        while True:
            with lock:
                mutant = next(drawn, None)
            if mutant is None:
                return
            outcome = send(mutant.data, port)
            if outcome == "closed" and mutant.is_whole:
                outcome = "dropped"
            with lock:
                found[outcome] += 1
            if tell is not None and outcome in ("5xx", "hung", "dropped"):
                tell(mutant, outcome)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def send(data: bytes, port: int) -> str:
    """Sends bytes, closes this half, and returns what the status of the first answer is of."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused while it was sent: the answer says why
        answer, deadline = b"", time.monotonic() + TIMEOUT_S
        try:
            while time.monotonic() < deadline and (part := connection.recv(65_536)):
                answer += part if len(answer) < 1_000 else b""
            if time.monotonic() >= deadline:
                return "hung"
        except TimeoutError:
            return "hung"
        except OSError:
            pass  # reset after the answer
    while answer.startswith(b"HTTP/1.1 100"):
        answer = answer.partition(b"\r\n\r\n")[2]
    if not answer.startswith(b"HTTP/1.1 "):
        return "closed"
    status = answer[9:12].decode("latin-1")
    return status if status == "503" else f"{status[0]}xx"
