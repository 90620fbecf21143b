"""An OpenTelemetry collector that takes everything sent by HTTP and remembers only what kinds of things came.

By itself, for all who can reach it, it prints the path of each thing: `python -m tests.fakes.collector PORT`.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Collector(ThreadingHTTPServer):
    """Listening, on a port of its own unless told otherwise; `paths` are those that something was posted to."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((host, port), _Handler)
        self.paths: set[str] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Collector

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.paths.add(self.path)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        if __name__ == "__main__":
            print(self.path, flush=True)


@contextmanager
def collector() -> Iterator[Collector]:
    """One that runs as long as the block."""
    with Collector() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        try:
            yield running
        finally:
            running.shutdown()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    Collector("0.0.0.0", int(sys.argv[1])).serve_forever()  # noqa: S104 - in a container of its own
