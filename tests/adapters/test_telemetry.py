"""Traces, metrics and logs: by templates and ids, never by what callers sent."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import ClassVar

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import Histogram, MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from src.adapters.telemetry.logs import JsonLines
from src.adapters.telemetry.metrics import SECONDS, Durations, Metrics
from src.adapters.telemetry.observer import Observer
from src.adapters.telemetry.otlp_metrics import OtlpMetrics
from src.adapters.telemetry.traces import Traces
from src.domain.context import REQUEST_ID
from src.edge.bounded import BoundedLines
from tests.conftest import ITINERARY, Api, serving
from tests.fakes.collector import collector

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def fail(message: str) -> None:
    raise ValueError(message)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(spans: InMemorySpanExporter) -> Iterator[Observer]:
    traces = Traces(SimpleSpanProcessor(spans))
    yield Observer(Metrics(), traces)
    traces._http.uninstrument()  # noqa: SLF001 - closing needs a loop, and this fixture has none


def test_a_request_is_one_server_span_named_by_its_template(traced: Observer, spans: InMemorySpanExporter) -> None:
    request = traced.request("POST", "/functions/v1/bff-checkout", [(b"traceparent", PARENT.encode())], "r1")
    with traced.step("public.start_checkout", **{"db.system.name": "postgresql"}):
        pass
    request.finished(200)
    step, server = spans.get_finished_spans()
    assert (step.name, server.name) == ("public.start_checkout", "POST /functions/v1/bff-checkout")
    assert step.parent is not None
    assert step.parent.span_id == server.context.span_id
    assert format(server.context.trace_id, "032x") == PARENT.split("-")[1]
    assert dict(server.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/functions/v1/bff-checkout",
        "request_id": "r1",
        "http.response.status_code": 200,
    }


def test_of_the_requests_of_a_second_a_hundred_are_traced_and_all_that_a_traced_caller_sends(
    traced: Observer, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=lambda: 7.0)
    monkeypatch.setattr("src.adapters.telemetry.traces.time", clock)

    def found(requests: int, *headers: tuple[bytes, bytes]) -> int:
        spans.clear()
        for _ in range(requests):
            request = traced.request("GET", "/x", headers, "r")
            assert trace.get_current_span().get_span_context().is_valid
            with traced.step("ops.list_bookings"):
                pass
            request.finished(200)
        return len(spans.get_finished_spans())

    assert found(99) == 2 * 99
    assert found(3) == 2
    assert found(3, (b"traceparent", PARENT.encode())) == 2 * 3
    assert found(1, (b"traceparent", PARENT.removesuffix("1").encode() + b"0")) == 0
    clock.monotonic = lambda: 8.0
    assert found(101) == 2 * 100


def test_opentelemetrys_own_setting_of_the_sampler_comes_first(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    made = Traces(SimpleSpanProcessor(spans))
    Observer(Metrics(), made).request("GET", "/x", [(b"traceparent", PARENT.encode())], "r").finished(200)
    made._http.uninstrument()  # noqa: SLF001 - closing needs a loop, and this test has none
    assert not spans.get_finished_spans()


def test_a_failed_step_names_its_error_without_quoting_it(traced: Observer, spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="secret"), traced.step("wa.send"):
        fail("secret +250788000000")
    (span,) = spans.get_finished_spans()
    assert span.status.description == "ValueError"
    assert not span.events


async def test_methods_that_callers_invent_are_one_series(api: Api) -> None:
    async def series() -> set[str]:
        told = (await api.http.get("/metrics")).text
        return {
            line.partition(" ")[0] for line in told.splitlines() if line.startswith("ecotrips_request_seconds_count")
        }

    paths = ("/functions/v1/ops-bookings", "/storage/v1/object/invoices/x", "/auth/v1/user", "/rest/v1/x", "/healthz")
    before = await series()
    for path in paths:
        for method in ("FOO", "M" * 50_000, *(f"X{number}" for number in range(20))):
            assert (await api.http.request(method, path)).status_code in (401, 404, 405)
    made = await series() - before
    assert {one.partition('method="')[2].partition('"')[0] for one in made} == {"_OTHER"}
    assert len(made) <= len(paths)


async def test_metrics_count_by_route_and_status(api: Api) -> None:
    await api.get("ops-bookings")
    await api.post("bff-checkout", {})
    text = (await api.http.get("/metrics")).text
    assert 'ecotrips_request_seconds_count{method="GET",route="/functions/v1/ops-bookings",status="200"} 1.0' in text
    assert 'ecotrips_request_seconds_count{method="POST",route="/functions/v1/bff-checkout",status="400"} 1.0' in text
    assert 'ecotrips_pool_busy{role="anon"} 0.0' in text
    assert "ecotrips_database_up 1.0" in text
    assert "ecotrips_exceptions_open 0.0" in text  # the demo's are none


async def test_metrics_are_for_the_bearer_of_their_token_when_there_is_one(database: str) -> None:
    async with serving(database, metrics_token="s3cret") as api:
        refused = await api.http.get("/metrics")
        assert (refused.status_code, refused.json()["code"]) == (401, "AUTH_REQUIRED")
        assert (await api.http.get("/metrics", headers={"authorization": "Bearer s3cret"})).status_code == 200


async def test_metrics_answer_while_the_database_is_away() -> None:
    async with serving("postgresql://postgres@127.0.0.1:9/none") as api:
        answer = await api.http.get("/metrics")
        assert answer.status_code == 200
        assert "ecotrips_database_up 0.0" in answer.text


class _Kept(MetricExporter):
    sent: ClassVar[list[MetricsData]] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **_: object) -> MetricExportResult:  # noqa: ARG002 - the interface's
        self.sent.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:  # noqa: ARG002 - the interface's
        return True

    def shutdown(self, timeout_millis: float = 0, **_: object) -> None: ...


def test_the_collector_gets_the_same_histogram() -> None:
    metrics = Metrics()
    observer = Observer(metrics)
    for _ in range(3):
        observer.request("GET", "/x", [], "r").finished(200)
    exporter = _Kept()
    OtlpMetrics(metrics.registry, "test", exporter).send()
    scope = exporter.sent[-1].resource_metrics[0].scope_metrics[0]
    data = next(metric.data for metric in scope.metrics if metric.name == "ecotrips_request_seconds")
    assert isinstance(data, Histogram)
    (point,) = data.data_points
    assert (point.count, sum(point.bucket_counts)) == (3, 3)
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert point.attributes == {"method": "GET", "route": "/x", "status": "200"}


async def test_a_collector_gets_traces_and_metrics_when_the_endpoint_is_set(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector() as sink:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.address)
        async with serving(database, traced=True) as api:
            body = {"itinerary_id": ITINERARY, "amount_cents": 5, "currency": "USD"}
            assert (await api.post("bff-checkout", body)).status_code == 200
    assert sink.paths == {"/v1/traces", "/v1/metrics"}


def test_a_log_line_is_json_with_its_request_and_without_messages_of_errors() -> None:
    token = REQUEST_ID.set("r1")
    with pytest.raises(ValueError, match="phone") as caught:
        fail(f"phone +250{788}")
    information = (caught.type, caught.value, caught.tb)
    record = logging.LogRecord("src.x", logging.ERROR, "x.py", 1, "it %s", ("broke",), information)
    line = json.loads(JsonLines().format(record))
    REQUEST_ID.reset(token)
    assert line.items() >= {"level": "error", "message": "it broke", "request_id": "r1", "error": "ValueError"}.items()
    assert re.fullmatch(r"  \S*tests/adapters/test_telemetry\.py:\d+ in fail\n", line["place"])
    assert "250788" not in json.dumps(line)


def test_a_bucket_counts_what_took_as_long_as_its_bound_or_less() -> None:
    durations = Durations()
    for seconds in (0.0005, 0.001, 0.0011, 60):
        durations.observe("GET", "/x", 200, seconds)
    (family,) = durations.collect()
    found = {sample.labels.get("le", sample.name): sample.value for sample in family.samples}
    assert [float(bound) for bound in list(found)[:-3]] == list(SECONDS)
    assert [found[bound] for bound in ("0.001", "0.0025", "10.0", "+Inf")] == [2, 3, 3, 4]
    assert (found["ecotrips_request_seconds_count"], found["ecotrips_request_seconds_sum"]) == (4, 60.0026)


def sink(levels: int) -> None:
    """Fails so deep, in frames that do not repeat."""
    if not levels:
        fail("x" * 100_000)
    for _ in map(sink, [levels - 1]):
        pass


@pytest.mark.parametrize("lines", [JsonLines(), BoundedLines()])
def test_no_record_is_long_whatever_its_cause(lines: logging.Formatter, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("ecotrips.test")
    try:
        sink(200)
    except ValueError:
        logger.exception("%s failed", "é" * 100_000)
    record = caplog.records[-1]
    # Formatters share an error's text, and pytest's was the first.
    record.exc_text = None
    line = lines.format(record)
    assert 2_000 < len(line.encode()) < 20_000
    assert "in fail" in line
