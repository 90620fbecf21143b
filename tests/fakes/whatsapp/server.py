"""The fake over HTTP: in a test's thread, or by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from tests.fakes.whatsapp import FakeWhatsApp


def server(fake: FakeWhatsApp, port: int, taken: Callable[[], None] = lambda: None) -> ThreadingHTTPServer:
    """A server that is not yet running. `taken()` is called after each request."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            reply = fake.post(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            if reply.status is None:
                self.close_connection = True
            else:
                self.send_response(reply.status)
                for name, value in (*reply.headers.items(), ("content-length", str(len(reply.body)))):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)
            taken()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
            """Say nothing: paths and numbers are no one's business."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


@contextmanager
def running(fake: FakeWhatsApp) -> Iterator[str]:
    """The address of the fake, for the length of the block."""
    listening = server(fake, 0)
    thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
