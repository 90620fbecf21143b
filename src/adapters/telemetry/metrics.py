"""Counts and durations of this process in Prometheus' text format."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import lru_cache

from prometheus_client import CollectorRegistry, Gauge, GCCollector, Histogram, ProcessCollector
from prometheus_client.exposition import generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One registry of a process. Route templates are few, so each series is looked up once and remembered."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        durations = Histogram(
            "ecotrips_request_seconds",
            "Requests by route and status",
            ("method", "route", "status"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._series = lru_cache(maxsize=4096)(durations.labels)

    def request(self, method: str, route: str, status: int, began: float) -> None:
        """`began` is time.perf_counter() at its start."""
        self._series(method, route, status).observe(time.perf_counter() - began)

    def gauge(self, name: str, text: str, value: Callable[[], float], **labels: str) -> None:
        """A value that is looked at when somebody asks for it."""
        gauge = self._gauges(name, text, tuple(labels))
        (gauge.labels(**labels) if labels else gauge).set_function(value)

    @lru_cache(maxsize=64)  # noqa: B019 - one registry lives as long as its process
    def _gauges(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def text(self, levels: Mapping[str, float]) -> bytes:
        """The registry with `levels`, gauges that the database answered just now."""
        return generate_latest(self.registry) + generate_latest(registry_of(levels))


def registry_of(levels: Mapping[str, float]) -> CollectorRegistry:
    """The service levels as gauges."""
    registry = CollectorRegistry()
    for name, value in levels.items():
        Gauge(f"ecotrips_{name}", "See docs/operate.md, service levels", registry=registry).set(value)
    return registry
