"""Load on a search tier over loopback: `python benchmarks/serving_load.py --url http://127.0.0.1:8000 --seconds 20`.

Prints requests a second, latencies and failures. Connections are kept, as a shop's backend would; without `--rate` each
sends as fast as it is answered. Bounded: at most ten minutes, at most 64 connections.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

MAX_SECONDS = 600.0
MAX_CONNECTIONS = 64
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Sent:
    """One request: what came of it, and when, in seconds since the load began."""

    at_s: float
    latency_ms: float
    status: int  # 0 when no answer came
    body: dict[str, Any] | None
    failure: str = ""


@dataclass
class Load:
    """What a load found."""

    seconds: float
    sent: list[Sent] = field(default_factory=list)

    @property
    def failures(self) -> list[Sent]:
        """Requests that were not answered with 200."""
        return [one for one in self.sent if one.status != 200]

    @property
    def per_second(self) -> float:
        """Requests that were answered, in a second."""
        return (len(self.sent) - len(self.failures)) / self.seconds

    def percentile_ms(self, percentile: float) -> float:
        """A percentile of the latencies of answered requests."""
        latencies = [one.latency_ms for one in self.sent if one.status == 200]
        return float(np.percentile(latencies, percentile)) if latencies else float("nan")


def run_load(
    url: str,
    bodies: list[dict[str, Any]],
    *,
    seconds: float,
    connections: int = 8,
    rate: float | None = None,
    keep_bodies: bool = False,
    is_over: Callable[[], bool] = lambda: False,
) -> Load:
    """Posts `bodies` in turn to `/v1/search` for a while and returns what came of each.

    Args:
        rate: requests a second over all connections; None sends as fast as answers come.
        is_over: asked now and then; true ends the load early.
    """
    seconds, connections = min(seconds, MAX_SECONDS), min(connections, MAX_CONNECTIONS)
    encoded = [json.dumps(body).encode() for body in bodies]
    load, lock = Load(seconds), threading.Lock()
    began = time.perf_counter()

    def client(number: int) -> None:
        connection = _connect(url)
        mine, count = [], 0
        while (now := time.perf_counter() - began) < seconds and not is_over():
            if rate is not None:
                due = (count * connections + number) / rate
                if due > now:
                    time.sleep(min(due - now, seconds - now))
                    continue
            sent = _post(connection, encoded[(count * connections + number) % len(encoded)], began, keep_bodies)
            if sent.status == 0:
                connection.close()
                connection = _connect(url)
            mine.append(sent)
            count += 1
        connection.close()
        with lock:
            load.sent.extend(mine)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load.seconds = time.perf_counter() - began
    return load


def main(arguments: list[str] | None = None) -> int:
    """Runs one load and prints it; returns 1 when a request failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--catalog", help="the default one if left out")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--text", help="ask by this text instead of by items of the catalog")
    asked.add_argument("--vectors", action="store_true", help="ask by random vectors")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float, help="requests a second; as fast as answers come if left out")
    parser.add_argument("--top-k", type=int, default=10)
    options = parser.parse_args(arguments)
    base: dict[str, Any] = {"top_k": options.top_k} | ({"catalog": options.catalog} if options.catalog else {})
    if options.text:
        bodies = [base | {"text": options.text}]
    elif options.vectors:
        dimension = _get(options.url, "/v1/release", options.catalog)["dimension"]
        drawn = np.random.default_rng(0).standard_normal((256, dimension))
        bodies = [base | {"embedding": vector.tolist()} for vector in drawn]
    else:
        items = _get(options.url, "/v1/items", options.catalog)["items"]
        bodies = [base | {"item_id": item["item_id"]} for item in items]
    load = run_load(options.url, bodies, seconds=options.seconds, connections=options.connections, rate=options.rate)
    print(
        f"{len(load.sent)} requests in {load.seconds:.1f} s on {options.connections} connections: "
        f"{load.per_second:.0f} a second, P50 {load.percentile_ms(50):.2f} ms, P99 {load.percentile_ms(99):.2f} ms, "
        f"{len(load.failures)} failed"
    )
    for failed in load.failures[:5]:
        print(f"  at {failed.at_s:.1f} s: status {failed.status} {failed.failure}", file=sys.stderr)
    return 1 if load.failures else 0


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=TIMEOUT_S)


def _post(connection: http.client.HTTPConnection, body: bytes, began: float, keep: bool) -> Sent:
    started = time.perf_counter()
    try:
        connection.request("POST", "/v1/search", body, {"content-type": "application/json"})
        response = connection.getresponse()
        data = response.read()
    except (OSError, http.client.HTTPException) as error:
        ended = time.perf_counter()
        return Sent(started - began, (ended - started) * 1_000, 0, None, f"{type(error).__name__}: {error}")
    latency_ms = (time.perf_counter() - started) * 1_000
    failure = "" if response.status == 200 else data[:200].decode(errors="replace")
    return Sent(started - began, latency_ms, response.status, json.loads(data) if keep else None, failure)


def _get(url: str, path: str, catalog: str | None) -> Any:
    connection = _connect(url)
    connection.request("GET", path + (f"?catalog={catalog}" if catalog else ""))
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    if response.status != 200:
        raise SystemExit(f"{url}{path}: {answer.get('detail')}")
    return answer


if __name__ == "__main__":
    sys.exit(main())
