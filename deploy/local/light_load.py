"""A light load on the search tier: text, item and picture queries at a steady rate, and what became of each."""

from __future__ import annotations

import base64
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from vitrine.errors import VitrineError

RATE = 5.0  # requests a second
_TEXTS = ("red dress", "a wooden chair", "blue bag with stripes", "black shoes")
_TIMEOUT_S = 30.0
_UNLIKE_SEARCH = (httpx.HTTPError, ValueError, KeyError, TypeError)  # no answer, or one of another program


class LoadError(VitrineError):
    """No queries could be made of what the search tier shows."""


@dataclass
class LoadReport:
    """What the client saw; its thread appends while the load lasts.

    Attributes:
        answers: how many each release gave.
        failures: what went wrong, a line for each request that was not answered with 200.
    """

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many were sent and have ended."""
        return sum(self.answers.values()) + len(self.failures)

    def strangers(self, *expected: str) -> list[str]:
        """Returns the releases that answered and should not have."""
        return sorted(set(self.answers) - set(expected))


def fetch_queries(url: str, catalog_id: str, *, items: int = 8) -> list[dict[str, Any]]:
    """Returns queries of each kind, made from items that the live release shows.

    Raises:
        LoadError: the search tier does not answer, or not as it should.
    """
    try:
        with _client(url) as client:
            shown = client.get("/v1/items", params={"catalog": catalog_id, "limit": items}).raise_for_status().json()
            ids = [item["item_id"] for item in shown["items"]]
            pictures = [
                base64.b64encode(client.get(item["image_url"]).raise_for_status().content).decode()
                for item in shown["items"]
                if item["image_url"]
            ]
    except _UNLIKE_SEARCH as error:
        raise LoadError(
            f"{url}: expected {items} items of catalog {catalog_id} with their pictures, found {type(error).__name__}: "
            f"{error}; `make status` says whether the search tier runs"
        ) from error
    return interleaved(
        [{"text": text} for text in _TEXTS],
        [{"item_id": item_id} for item_id in ids],
        [{"image": picture} for picture in pictures],
    )


def interleaved(*kinds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns queries of each kind in turn, so often that each was asked once; a kind without any is left out."""
    kinds = tuple(kind for kind in kinds if kind)
    turns = max((len(kind) for kind in kinds), default=0)
    return [kind[turn % len(kind)] for turn in range(turns) for kind in kinds]


@contextmanager
def light_load(
    url: str, catalog_id: str, queries: Sequence[dict[str, Any]], *, rate: float = RATE
) -> Iterator[LoadReport]:
    """Sends queries one after the other until the block ends.

    Args:
        url: of the search tier.
        catalog_id: that is asked.
        queries: bodies of `/v1/search` without catalog, sent in turn.
        rate: of requests a second; fewer where answers take longer.
    """
    report, stop = LoadReport(), threading.Event()
    sender = threading.Thread(
        target=_send,
        args=(url, [{"catalog": catalog_id, "top_k": 10, **query} for query in queries], rate, report, stop),
        daemon=True,
    )
    sender.start()
    try:
        yield report
    finally:
        stop.set()
        sender.join(timeout=2 * _TIMEOUT_S)


def _send(url: str, bodies: Sequence[dict[str, Any]], rate: float, report: LoadReport, stop: threading.Event) -> None:
    with _client(url) as client:
        sent, due = -1, time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            due, sent = max(due, time.monotonic()) + 1 / rate, sent + 1
            try:
                answer = client.post("/v1/search", json=bodies[sent % len(bodies)])
                if answer.status_code == httpx.codes.OK:
                    report.answers[answer.json()["release_id"]] += 1
                else:
                    report.failures.append(f"{answer.status_code}: {answer.text[:200]}")
            except _UNLIKE_SEARCH as error:
                report.failures.append(f"{type(error).__name__}: {error}")


def _client(url: str) -> httpx.Client:
    # The server is on this machine: proxies of the environment are not for it.
    return httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False)
