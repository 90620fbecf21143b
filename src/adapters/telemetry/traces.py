"""OpenTelemetry over OTLP, made only where an endpoint is set: OTEL_EXPORTER_OTLP_ENDPOINT and its relatives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

SERVICE_NAME = "ecotrips-ops"
PROPAGATED = frozenset({b"traceparent", b"tracestate"})


class Traces:
    """Spans of requests, SQL functions and provider calls.

    The sampler, headers and the rest come from OpenTelemetry's own environment variables.
    """

    def __init__(self, processor: SpanProcessor | None = None) -> None:
        self._provider = TracerProvider(resource=Resource.create({"service.name": SERVICE_NAME}))
        self._provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("src")
        self._http = HTTPXClientInstrumentor()
        self._http.instrument(tracer_provider=self._provider)

    def start(self, method: str, route: str, headers: Iterable[tuple[bytes, bytes]], request_id: str) -> trace.Span:
        """A server span named by the route's template; an incoming traceparent is its parent."""
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers if name in PROPAGATED}
        return self._tracer.start_span(
            f"{method} {route}",
            context=propagate.extract(carrier),
            kind=trace.SpanKind.SERVER,
            attributes={"http.request.method": method, "http.route": route, "request_id": request_id},
        )

    @contextmanager
    def step(self, name: str, attributes: Mapping[str, str]) -> Iterator[None]:
        """A span within the current one. An error is its type: messages may quote what was sent."""
        with self._tracer.start_as_current_span(
            name, attributes=dict(attributes), record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                raise

    async def close(self) -> None:
        """Send what is left; without a collector this waits for its time-out, so it does in a thread."""
        self._http.uninstrument()
        await asyncio.to_thread(self._provider.shutdown)
