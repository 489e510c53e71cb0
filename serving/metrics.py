"""What Prometheus reads: counters of all workers of the replica together."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Counters and histograms of the search tier; one object for each app.

    With `PROMETHEUS_MULTIPROC_DIR` set, as the agent does, every worker's numbers lie in files there and any worker
    answers for all.
    """

    def __init__(self) -> None:
        self._own = CollectorRegistry()
        self.requests = Counter(
            "vitrine_search_requests", "Requests by route and status.", ["route", "status"], registry=self._own
        )
        self.request_seconds = Histogram(
            "vitrine_search_request_seconds", "Time of a request.", ["route"], buckets=_SECONDS, registry=self._own
        )
        self.queries = Counter(
            "vitrine_search_queries",
            "Queries answered, by catalog, release and what was asked with.",
            ["catalog", "release_id", "modality"],
            registry=self._own,
        )
        self.encode_seconds = Histogram(
            "vitrine_search_encode_seconds",
            "Time to encode a query.",
            ["modality"],
            buckets=_SECONDS,
            registry=self._own,
        )
        self.index_seconds = Histogram(
            "vitrine_search_index_seconds",
            "Time to search the index and read the items.",
            ["catalog"],
            buckets=_SECONDS,
            registry=self._own,
        )
        self.empty_answers = Counter(
            "vitrine_search_empty_answers", "Queries without any result.", ["catalog"], registry=self._own
        )

    def exposition(self) -> bytes:
        """Returns the text that Prometheus reads."""
        if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            return generate_latest(self._own)
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return generate_latest(together)
