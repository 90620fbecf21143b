"""A request's body from ASGI's events: whole, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

# Seconds between two looks at who waits too long.
LOOK_EVERY = 0.25


class BodyError(Exception):
    """Why there is no body."""


class TooLarge(BodyError):
    """More than was asked for; the rest is not read."""


class TooSlow(BodyError):
    """Still not there after the time it was given."""


class BrokenOff(BodyError):
    """The client hung up before the end: what came until then must not be taken for the whole."""


class Patience:
    """Cancels tasks whose time is over, and tells which: one timer for all of them.

    To set and clear a timer for each body, as asyncio.timeout does, takes a seventh of a small call.
    """

    def __init__(self) -> None:
        self._ends: dict[asyncio.Task[object], float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.late: set[asyncio.Task[object]] = set()

    def begin(self, task: asyncio.Task[object], seconds: float) -> None:
        """Its time begins; `end` has to follow."""
        loop = task.get_loop()
        self._ends[task] = loop.time() + seconds
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(LOOK_EVERY, self._look)

    def end(self, task: asyncio.Task[object]) -> None:
        del self._ends[task]
        self.late.discard(task)

    def _look(self) -> None:
        assert self._loop is not None  # noqa: S101 - whoever set the timer has a loop
        now = self._loop.time()
        for task, end in self._ends.items():
            if end < now and task not in self.late:
                self.late.add(task)
                task.cancel()
        if self._ends:
            self._loop.call_later(LOOK_EVERY, self._look)
        else:
            self._loop = None


PATIENCE = Patience()


async def whole_body(receive: Callable[[], Awaitable[Mapping[str, Any]]], largest: int, seconds: float) -> bytes:
    """At most `largest` bytes that arrive within `seconds` and a quarter more. Raises BodyError."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a server's coroutine runs in a task
    PATIENCE.begin(task, seconds)
    parts: list[bytes] = []
    size = 0
    try:
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise BrokenOff
            part: bytes = event.get("body", b"")
            size += len(part)
            if size > largest:
                raise TooLarge
            if not event.get("more_body", False):
                return b"".join([*parts, part]) if parts else part
            parts.append(part)
    except asyncio.CancelledError:
        if task in PATIENCE.late and task.uncancel() == 0:
            raise TooSlow from None
        raise
    finally:
        PATIENCE.end(task)
