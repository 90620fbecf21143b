"""Reads a request's body from ASGI's events: the whole body, or an error."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from src.edge.limits import MEBIBYTE

# The only encodings that are accepted; nothing here decompresses.
AS_IT_IS = ((b"content-encoding", b"identity"), (b"transfer-encoding", b"chunked"))
# The answer to other encodings names this one (RFC 9110, 15.5.16).
TAKEN = ("Accept-Encoding", "identity")
# The timeout of a body: MIN_SECONDS, or what a body of the maximum size takes at this rate.
MIN_SECONDS = 10
BYTES_PER_SECOND = 512 * 1024
# How many bytes of unfinished bodies a process holds for one role; at least four bodies of the maximum size.
MIN_BUDGET = 64 * 1024 * 1024
# Retry-After when the budget is used up.
OVER_BUDGET_SECONDS = 2
# The first bytes of a body are free, so that small bodies pass while large ones use up the budget.
SMALL = 16 * 1024
# A body may come in MAX_PIECES events, and one more for each PIECE bytes, which is less than a packet of any network.
MAX_PIECES = 2_000
PIECE = 256


def first_of_each(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by lower-case name: the first of repeated ones counts, but the values of encoding headers are joined."""
    listed = list(headers)
    first = dict(reversed(listed))
    if len(first) < len(listed):
        for name, _ in AS_IT_IS:
            if name in first:
                first[name] = b", ".join([value for key, value in listed if key == name])
    return first


class BodyError(Exception):
    """Why there is no body, in words that follow "The "; `status` is that of the answer."""

    status = 400


class TooLarge(BodyError):
    """The body is larger than the caller may send."""

    status = 413

    def __init__(self, max_size: int) -> None:
        super().__init__(f"body is larger than {max_size // MEBIBYTE} MiB")


class TooSlow(BodyError):
    """The body did not arrive before its timeout."""

    status = 408


class BrokenOff(BodyError):
    """The client closed the connection before the end of the body."""


# Seconds between two looks at who waits too long.
LOOK_EVERY = 0.25


class Timeouts:
    """Cancels tasks whose time is over, and tells which: one timer for all of them (docs/performance.md)."""

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


TIMEOUTS = Timeouts()


class OverBudget(BodyError):
    """The unfinished bodies of callers of this role use up the budget."""


class InPieces(BodyError):
    """The body came in too many events; each costs about as much as a small request."""


class Encoded(BodyError):
    """The body is compressed or encoded in another way."""

    status = 415


class BodyBudget:
    """Counts the bytes of unfinished bodies by role."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()

    def take(self, role: str, size: int, max_size: int) -> None:
        """Reserve bytes, which `give_back` returns. Raises OverBudget."""
        if self.taken[role] + size > max(MIN_BUDGET, 4 * max_size):
            raise OverBudget
        self.taken[role] += size

    def give_back(self, role: str, size: int) -> None:
        self.taken[role] -= size


BUDGET = BodyBudget()


def body_timeout(max_size: int) -> float:
    """The seconds in which a body of at most `max_size` bytes has to arrive."""
    return max(MIN_SECONDS, max_size / BYTES_PER_SECOND)


async def whole_body(
    headers: Mapping[bytes, bytes], receive: Callable[[], Awaitable[Mapping[str, Any]]], max_size: int, role: str
) -> bytes:
    """The body of a caller of `role`, at most `max_size` bytes. Raises BodyError.

    A body that is announced as larger, or as encoded, is not read at all.
    """
    _require_as_it_is(headers)
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and float(announced) > max_size:
        raise TooLarge(max_size)
    parts: list[bytes] = []
    size = reserved = 0
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a server's coroutine runs in a task
    TIMEOUTS.begin(task, body_timeout(max_size))
    try:
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                message = "body broke off"
                raise BrokenOff(message)
            part: bytes = event.get("body", b"")
            size += len(part)
            _require_bounded(size, len(parts), max_size)
            if not event.get("more_body", False):
                return b"".join([*parts, part]) if parts else part
            if size > SMALL:
                BUDGET.take(role, len(part), max_size)
                reserved += len(part)
            parts.append(part)
    except asyncio.CancelledError:
        if task not in TIMEOUTS.late or task.uncancel():
            raise
        message = f"body did not arrive within {body_timeout(max_size):.0f} s"
        raise TooSlow(message) from None
    finally:
        TIMEOUTS.end(task)
        if reserved:
            BUDGET.give_back(role, reserved)


def _require_as_it_is(headers: Mapping[bytes, bytes]) -> None:
    for name, taken in AS_IT_IS:
        if headers.get(name, taken).strip().lower() != taken:
            message = "body must not be encoded or compressed"
            raise Encoded(message)


def _require_bounded(size: int, pieces: int, max_size: int) -> None:
    if size > max_size:
        raise TooLarge(max_size)
    if pieces > MAX_PIECES + size // PIECE:
        message = "body comes in too many pieces"
        raise InPieces(message)
