"""Clients that never read, send slowly, send half or close their half, while good ones go on asking.

2,300 never read their answers, 500 stop within a head and 500 within a body: 1,200 requests of good clients are
answered meanwhile, 500 half-closed clients get their answers, 500 cut requests are refused, and all others are let go.
"""

from __future__ import annotations

import http.client
import socket
import sys
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

from benchmarks.attacks.search_tier import search_tier
from benchmarks.attacks.sending import send

NEVER_READING, SLOW, HALF_CLOSED, GOOD = 2_300, 500, 500, 1_200
_TIMEOUT_S = 5.0
_PATIENCE_S = 120.0
_ESTABLISHED = "01"
_LARGE = b"GET /v1/items?catalog=plain&limit=200 HTTP/1.1\r\nHost: localhost\r\n\r\n"
_HEAD = b"GET /v1/items HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
_BODY = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
_WHOLE = b"GET /v1/release HTTP/1.1\r\nHost: localhost\r\n\r\n"
_CUT = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"


def main() -> int:
    """Runs all of them at once; returns 1 when one of these promises was not kept."""
    limits = {"VITRINE_SEARCH_WRITE_TIMEOUT_S": str(_TIMEOUT_S), "VITRINE_SEARCH_BODY_TIMEOUT_S": str(_TIMEOUT_S)}
    with search_tier(encoded=False, **limits) as tier, ExitStack() as opened:
        bad = [opened.enter_context(closing(_connect(tier.port, _HEAD))) for _ in range(SLOW)]
        bad += [opened.enter_context(closing(_connect(tier.port, _BODY))) for _ in range(SLOW)]
        good: list[str] = []
        asking = [threading.Thread(target=_ask, args=(tier.port, GOOD // 4, good)) for _ in range(4)]
        for thread in asking:
            thread.start()
        bad += [opened.enter_context(closing(_connect(tier.port, _LARGE))) for _ in range(NEVER_READING)]
        print(f"{len(bad):,} bad clients are connected", flush=True)
        answered = sum(send(_WHOLE, tier.port) == "2xx" for _ in range(HALF_CLOSED))
        refused = sum(send(_CUT, tier.port) == "4xx" for _ in range(HALF_CLOSED))
        for thread in asking:
            thread.join()
        began = time.monotonic()
        while (held := _held(tier.port)) and time.monotonic() - began < _PATIENCE_S:
            time.sleep(0.5)
        lives = tier.is_healthy()
    failed = GOOD - good.count("2xx")
    print(
        f"clients: beside {NEVER_READING:,} that never read and {2 * SLOW:,} slow ones {failed} of {GOOD:,} good "
        f"requests failed; {answered} of {HALF_CLOSED} half-closed were answered, {refused} of {HALF_CLOSED} cut ones "
        f"refused; "
        f"{held} are still held {time.monotonic() - began:.0f} s later" + ("" if lives else "; the tier is gone")
    )
    return 0 if lives and not failed and not held and answered == refused == HALF_CLOSED else 1


def _connect(port: int, sent: bytes) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.settimeout(_PATIENCE_S)
    connection.connect(("127.0.0.1", port))
    connection.sendall(sent)
    return connection


def _ask(port: int, count: int, outcomes: list[str]) -> None:
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/v1/items/item%2F3/similar?catalog=plain&top_k=5")
            outcomes.append(f"{connection.getresponse().status // 100}xx")
        except (OSError, http.client.HTTPException) as error:
            outcomes.append(type(error).__name__)
        finally:
            connection.close()


def _held(port: int) -> int:
    """Returns how many connections the server's end still has open (proc_net(5)).

    The clients' end does not tell: one that takes no byte is dropped without a word, and learns it when it sends.
    """
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == _ESTABLISHED for row in rows)


if __name__ == "__main__":
    sys.exit(main())
