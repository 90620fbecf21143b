"""Metrics, and traces where they are configured, behind one port."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from contextvars import Token
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from src.adapters.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from src.adapters.telemetry.otlp_metrics import OtlpMetrics
    from src.adapters.telemetry.traces import Traces
    from src.ports.service_levels import ServiceLevels

NOTHING: AbstractContextManager[object] = nullcontext()
FIRST_SERVER_ERROR = 500


@dataclass(slots=True)
class ObservedRequest:
    """A request under way; its span is the current one until it has finished."""

    metrics: Metrics
    method: str
    route: str
    began: float
    span: trace.Span | None = None
    token: Token[Context] | None = None

    def finished(self, status: int) -> None:
        self.metrics.request(self.method, self.route, status, self.began)
        if self.span is None or self.token is None:
            return
        otel_context.detach(self.token)
        self.span.set_attribute("http.response.status_code", status)
        if status >= FIRST_SERVER_ERROR:
            self.span.set_status(trace.StatusCode.ERROR)
        self.span.end()


@dataclass(frozen=True, slots=True)
class Observer:
    """Records metrics, and spans if there are `traces`."""

    metrics: Metrics
    traces: Traces | None = None
    otlp_metrics: OtlpMetrics | None = None

    def request(
        self, method: str, route: str, headers: Iterable[tuple[bytes, bytes]], request_id: str
    ) -> ObservedRequest:
        observed = ObservedRequest(self.metrics, method, route, time.perf_counter())
        if self.traces is not None:
            observed.span = self.traces.start(method, route, headers, request_id)
            observed.token = otel_context.attach(trace.set_span_in_context(observed.span))
        return observed

    def step(self, name: str, **attributes: str) -> AbstractContextManager[object]:
        return NOTHING if self.traces is None else self.traces.step(name, attributes)

    async def start(self, levels: ServiceLevels) -> None:
        """Start exporting, with `levels` beside this process's own metrics."""
        if self.otlp_metrics is not None:
            await self.otlp_metrics.start(levels)

    async def close(self) -> None:
        if self.otlp_metrics is not None:
            await self.otlp_metrics.close()
        if self.traces is not None:
            await self.traces.close()
