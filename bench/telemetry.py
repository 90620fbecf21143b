"""What it costs to be observed: a second service on the database of `main`, which exports everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.stack import FOLDER, Service, Stack
from tests.fakes.collector import collector
from tests.support.processes import server


@contextmanager
def exporting(running: Stack) -> Iterator[None]:
    """A service `exporting` for the block: each of its requests is a trace, sent to a collector that takes all."""
    main = running.services["main"]
    with collector() as sink:
        with server(main.settings.database_url, FOLDER, OTEL_EXPORTER_OTLP_ENDPOINT=sink.address) as process:
            running.services["exporting"] = Service(process, main.settings)
            yield
        if "/v1/traces" not in sink.paths:
            raise SystemExit("no trace came to the collector")
