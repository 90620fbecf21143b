"""Counts and durations of this process in Prometheus' text format."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import accumulate

from prometheus_client import CollectorRegistry, Gauge, GCCollector, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BOUNDS = (*map(str, map(float, SECONDS)), "+Inf")


class Durations(Collector):
    """A histogram of request durations by method, route template and status.

    The library's histogram is slower, as it searches all buckets under a lock; here only one thread writes.
    """

    def __init__(self) -> None:
        self._counts: defaultdict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0] * len(BOUNDS))
        self._totals: defaultdict[tuple[str, str, int], float] = defaultdict(float)

    def begin(self, method: str, route: str, status: int) -> None:
        """Start series at 0, because Prometheus cannot see an increase in a series that starts at 1."""
        series = method, route, status
        self._counts[series], self._totals[series] = [0] * len(BOUNDS), 0.0

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        series = method, route, status
        self._counts[series][bisect_left(SECONDS, seconds)] += 1
        self._totals[series] += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(
            "ecotrips_request_seconds", "Requests by route and status", labels=("method", "route", "status")
        )
        for (method, route, status), counts in list(self._counts.items()):
            buckets = list(zip(BOUNDS, accumulate(counts), strict=True))
            family.add_metric((method, route, str(status)), buckets, self._totals[method, route, status])
        yield family


class Metrics:
    """One registry of a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._durations = Durations()
        self.registry.register(self._durations)

    def request(self, method: str, route: str, status: int, began: float) -> None:
        """`began` is time.perf_counter() at its start."""
        self._durations.observe(method, route, status, time.perf_counter() - began)

    def begin(self, method: str, route: str, statuses: Iterable[int]) -> None:
        """Start the series of a route's statuses at 0."""
        for status in statuses:
            self._durations.begin(method, route, status)

    def gauge(self, name: str, text: str, value: Callable[[], float], **labels: str) -> None:
        """A gauge whose value is read at each scrape."""
        gauge = self._gauges(name, text, tuple(labels))
        (gauge.labels(**labels) if labels else gauge).set_function(value)

    @lru_cache(maxsize=64)  # noqa: B019 - one registry lives as long as its process
    def _gauges(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def text(self, levels: Mapping[str, float]) -> bytes:
        """The registry with `levels`, the gauges that the database computed."""
        return generate_latest(self.registry) + generate_latest(registry_of(levels))


def registry_of(levels: Mapping[str, float]) -> CollectorRegistry:
    """The service levels as gauges."""
    registry = CollectorRegistry()
    for name, value in levels.items():
        Gauge(f"ecotrips_{name}", "See docs/operate.md, service levels", registry=registry).set(value)
    return registry
