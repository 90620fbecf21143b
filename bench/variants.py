"""Services beside `main`, on its database, that differ from it by one setting: what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.stack import FOLDER, Service, Stack
from tests.fakes.collector import collector
from tests.support.processes import server

ORIGIN = "https://ops.example.org"


@contextmanager
def variant(running: Stack, name: str, **environment: str) -> Iterator[None]:
    """A service `name` for the block."""
    main = running.services["main"]
    with server(main.settings.database_url, FOLDER, **environment) as process:
        running.services[name] = Service(process, main.settings)
        yield


@contextmanager
def exporting(running: Stack) -> Iterator[None]:
    """A service `exporting` for the block: each of its requests is a trace, sent to a collector that takes all."""
    with collector() as sink:
        with variant(running, "exporting", OTEL_EXPORTER_OTLP_ENDPOINT=sink.address):
            yield
        if "/v1/traces" not in sink.paths:
            raise SystemExit("no trace came to the collector")
