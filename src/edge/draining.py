"""Reads the rest of a body after an early answer, so that the connection is not reset.

Closing a connection while the client still writes resets it, and the answer may be lost (RFC 9112, section 9.6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable

from src.edge.asgi import Asgi, Message, Receive, Send
from src.edge.body import MAX_PIECES, PIECE

# The maximum of any body.
MAX_BYTES = 64 * 1024 * 1024
MAX_SECONDS = 5


class Incoming:
    """Wraps `receive` of a request with a body; `done` once the body has ended or is given up."""

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
        # Once the answer has ended, the server delivers no more of the body.
        if not self.done and message.get("more_body"):
            return self._drain_and_send(message)
        return self._send(message)

    async def _drain_and_send(self, message: Message) -> None:
        await self.drain()
        await self._send(message)

    async def drain(self, most_bytes: int = MAX_BYTES, seconds: float = MAX_SECONDS) -> None:
        """Read to the end, or to a maximum of bytes, pieces or seconds; the server then closes the connection."""
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
    """Middleware that sends the application's answer and then drains the body."""

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
    # A loop, because a generator in any() is slower for every request.
    for name, value in headers:  # noqa: SIM110
        if (name == b"content-length" and value != b"0") or name == b"transfer-encoding":
            return True
    return False
