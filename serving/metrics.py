"""What Prometheus reads: counters of all workers of the replica together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Counters and histograms of the search tier; one object for each app.

    With `PROMETHEUS_MULTIPROC_DIR` set, as the agent does, every worker's numbers lie in files there and any worker
    answers for all.
    """

    def __init__(self, *, pins: Callable[[], Mapping[str, bool]] = dict) -> None:
        """Args:
        pins: whether the release that answers is pinned, by catalog; asked when the metrics are read.
        """
        self._pins = _Pins(pins)
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
        state = CollectorRegistry()
        state.register(self._pins)
        if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            return generate_latest(self._own) + generate_latest(state)
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return generate_latest(together) + generate_latest(state)


class _Pins(Collector):
    """A gauge of what is, not of what was counted: the worker that is asked answers, no file of it is left behind."""

    def __init__(self, pins: Callable[[], Mapping[str, bool]]) -> None:
        self._read = pins

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yields 1 for each catalog that is pinned, 0 for the others."""
        gauge = GaugeMetricFamily(
            "vitrine_search_release_pinned", "Whether the live release was pinned by hand.", labels=["catalog"]
        )
        for catalog_id, pinned in sorted(self._read().items()):
            gauge.add_metric([catalog_id], float(pinned))
        yield gauge
