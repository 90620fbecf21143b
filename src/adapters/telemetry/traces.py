"""OpenTelemetry traces over OTLP, where OTEL_EXPORTER_OTLP_ENDPOINT or a more specific variable is set."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.util.types import Attributes

from src.adapters.telemetry.observer import NOTHING

SERVICE_NAME = "ecotrips-ops"
PROPAGATED = frozenset({b"traceparent", b"tracestate"})
TRACES_PER_SECOND = 100


class RateLimitedSampler(Sampler):
    """Samples the first `per_second` traces of each second, because a trace costs as much as a request."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._second = self._taken = 0

    def should_sample(
        self,
        parent_context: Context | None,  # noqa: ARG002
        trace_id: int,  # noqa: ARG002
        name: str,  # noqa: ARG002
        kind: trace.SpanKind | None = None,  # noqa: ARG002
        attributes: Attributes = None,
        links: Sequence[trace.Link] | None = None,  # noqa: ARG002
        trace_state: trace.TraceState | None = None,  # noqa: ARG002
    ) -> SamplingResult:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._taken = second, 0
        if self._taken == self._per_second:
            return SamplingResult(Decision.DROP)
        self._taken += 1
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        return f"RateLimitedSampler{{{self._per_second}/s}}"


class Traces:
    """Spans of requests, SQL functions and provider calls.

    The sampler, headers and the rest come from OpenTelemetry's own environment variables; without OTEL_TRACES_SAMPLER
    RateLimitedSampler decides for traces that begin here, and the caller for others.
    """

    def __init__(self, processor: SpanProcessor | None = None) -> None:
        sampler = None if "OTEL_TRACES_SAMPLER" in os.environ else ParentBased(RateLimitedSampler(TRACES_PER_SECOND))
        self._provider = TracerProvider(sampler, Resource.create({"service.name": SERVICE_NAME}))
        self._provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("src")
        self._http = HTTPXClientInstrumentor()
        self._http.instrument(tracer_provider=self._provider)

    def start(self, method: str, route: str, headers: Iterable[tuple[bytes, bytes]], request_id: str) -> trace.Span:
        """A server span with the route's template as its name; an incoming traceparent is its parent."""
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers if name in PROPAGATED}
        return self._tracer.start_span(
            f"{method} {route}",
            context=propagate.extract(carrier) if carrier else Context(),
            kind=trace.SpanKind.SERVER,
            attributes={"http.request.method": method, "http.route": route, "request_id": request_id},
        )

    def step(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[object]:
        """A child of the current span; none where that is not recorded."""
        current = trace.get_current_span()
        unrecorded = current.get_span_context().is_valid and not current.is_recording()
        return NOTHING if unrecorded else self._recorded_step(name, attributes)

    @contextmanager
    def _recorded_step(self, name: str, attributes: Mapping[str, str]) -> Iterator[None]:
        """An error is recorded by its type, as messages may quote what was sent."""
        with self._tracer.start_as_current_span(
            name, attributes=dict(attributes), record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                raise

    async def close(self) -> None:
        """Send what is left, in a thread, because without a collector this blocks until its timeout."""
        self._http.uninstrument()
        await asyncio.to_thread(self._provider.shutdown)
