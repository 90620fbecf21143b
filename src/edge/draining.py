"""Answers that are given before the body has been read: what is left is read and dropped before the connection ends.

A connection that is closed while its client still writes is reset, and the answer can be lost with it (RFC 9112,
section 9.6). So the answer is sent first, for who looks for it while they write, and the rest taken in afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable

from src.edge.asgi import Asgi, Message, Receive, Send
from src.edge.body import MAX_PIECES, PIECE

# As much as anybody may send.
MAX_BYTES = 64 * 1024 * 1024
MAX_SECONDS = 5


class Incoming:
    """`receive` of a request with a body; `done` once that has ended, or nobody waits for its end any more."""

    __slots__ = ("_receive", "_send", "done")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.done = False

    async def receive(self) -> Message:
        event = await self._receive()
        self.done = not event.get("more_body")
        return event

    def send(self, message: Message) -> Awaitable[None]:
        # After an answer in pieces the server gives nothing more of the body.
        if not self.done and message.get("more_body"):
            return self._drain_and_send(message)
        return self._send(message)

    async def _drain_and_send(self, message: Message) -> None:
        await self.drain()
        await self._send(message)

    async def drain(self, most_bytes: int = MAX_BYTES, seconds: float = MAX_SECONDS) -> None:
        """Read on to the end, or until so much has come or so much time has passed; the server then hangs up.

        A body in tiny pieces costs by their number, so that is bounded as it is for a body that is read.
        """
        events = size = 0
        try:
            async with asyncio.timeout(seconds):
                while not self.done and size < most_bytes and events <= MAX_PIECES + size // PIECE:
                    size += len((await self.receive()).get("body", b""))
                    events += 1
        except TimeoutError:
            pass
        self.done = True


def draining(app: Asgi) -> Asgi:
    """Middleware: the application's answer, and the rest of the body."""

    async def drained(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope["headers"]):
            await app(scope, receive, send)
            return
        body = Incoming(receive, send)
        await app(scope, body.receive, body.send)
        if not body.done:
            await body.drain()

    return drained


def _has_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    # A generator in any() would take longer, at every request.
    for name, value in headers:  # noqa: SIM110
        if (name == b"content-length" and value != b"0") or name == b"transfer-encoding":
            return True
    return False
