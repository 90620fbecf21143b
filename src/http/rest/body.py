"""A request's body from ASGI's events: whole, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any


class BodyError(Exception):
    """Why there is no body."""


class TooLarge(BodyError):
    """More than was asked for; the rest is not read."""


class TooSlow(BodyError):
    """Still not there after the time it was given."""


class BrokenOff(BodyError):
    """The client hung up before the end: what came until then must not be taken for the whole."""


async def whole_body(receive: Callable[[], Awaitable[Mapping[str, Any]]], largest: int, seconds: float) -> bytes:
    """At most `largest` bytes that arrive within `seconds`. Raises BodyError."""
    parts = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    raise BrokenOff
                part = event.get("body", b"")
                size += len(part)
                if size > largest:
                    raise TooLarge
                parts.append(part)
                if not event.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise TooSlow from None
