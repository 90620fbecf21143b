"""Sends a process's metrics and the service levels to an OTLP collector at intervals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, pairwise

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from src.adapters.telemetry.metrics import registry_of
from src.database.background import Outage, stopped, supervised
from src.domain.errors import DomainError
from src.ports.service_levels import ServiceLevels

DEFAULT_INTERVAL_MILLISECONDS = 60_000
CUMULATIVE = export.AggregationTemporality.CUMULATIVE


class OtlpMetrics:
    """Exports every OTEL_METRIC_EXPORT_INTERVAL milliseconds, and once at the end."""

    def __init__(
        self, registry: CollectorRegistry, service_name: str, exporter: export.MetricExporter | None = None
    ) -> None:
        self._registry = registry
        self._resource = Resource.create({"service.name": service_name})
        self._exporter = exporter or OTLPMetricExporter()
        self._began = time.time_ns()
        self._task: asyncio.Task[None] | None = None
        self._levels: Mapping[str, float] = {}

    async def start(self, levels: ServiceLevels) -> None:
        self._task = supervised("sending metrics", partial(self._run, levels))

    async def close(self) -> None:
        await stopped(self._task)
        await asyncio.to_thread(self.send)
        await asyncio.to_thread(self._exporter.shutdown)

    async def _run(self, levels: ServiceLevels, outage: Outage) -> None:
        milliseconds = int(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL") or DEFAULT_INTERVAL_MILLISECONDS)
        while True:
            await asyncio.sleep(milliseconds / 1000)
            with contextlib.suppress(DomainError):
                self._levels = await levels.now()
            await asyncio.to_thread(self.send)
            outage.over()

    def send(self) -> None:
        """One export; blocks until the collector answers or the timeout has passed."""
        scope = export.ScopeMetrics(InstrumentationScope("src"), list(self._metrics()), "")
        self._exporter.export(export.MetricsData([export.ResourceMetrics(self._resource, [scope], "")]))

    def _metrics(self) -> Iterator[export.Metric]:
        now = time.time_ns()
        for family in chain(self._registry.collect(), registry_of(self._levels).collect()):
            yield export.Metric(family.name, family.documentation, _unit(family.name), self._data(family, now))

    def _data(self, family: Metric, now: int) -> export.Sum | export.Gauge | export.Histogram:
        if family.type == "histogram":
            return export.Histogram(list(self._histograms(family, now)), CUMULATIVE)
        wanted = f"{family.name}_total" if family.type == "counter" else family.name
        points = [
            export.NumberDataPoint(sample.labels, self._began, now, sample.value)
            for sample in family.samples
            if sample.name == wanted
        ]
        return export.Sum(points, CUMULATIVE, is_monotonic=True) if family.type == "counter" else export.Gauge(points)

    def _histograms(self, family: Metric, now: int) -> Iterator[export.HistogramDataPoint]:
        """Prometheus' buckets are cumulative, OTLP's are not."""
        series: dict[frozenset[tuple[str, str]], list[Sample]] = {}
        for sample in family.samples:
            labels = frozenset((name, value) for name, value in sample.labels.items() if name != "le")
            series.setdefault(labels, []).append(sample)
        for labels, samples in series.items():
            values = {sample.name.removeprefix(family.name): sample.value for sample in samples}
            buckets = [(float(s.labels["le"]), int(s.value)) for s in samples if s.name.endswith("_bucket")]
            below = [0, *(count for _, count in buckets)]
            yield export.HistogramDataPoint(
                attributes=dict(labels),
                start_time_unix_nano=self._began,
                time_unix_nano=now,
                count=int(values["_count"]),
                sum=values["_sum"],
                bucket_counts=[count - before for before, count in pairwise(below)],
                explicit_bounds=[bound for bound, _ in buckets[:-1]],
                min=0,
                max=0,
            )


def _unit(name: str) -> str:
    return "s" if name.endswith("_seconds") else "1"
