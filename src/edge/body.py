"""A request's body from ASGI's events: whole, or not at all."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from src.edge.limits import MEBIBYTE

# Encodings of bytes that are what they are: nothing here expands any others.
AS_IT_IS = ((b"content-encoding", b"identity"), (b"transfer-encoding", b"chunked"))
# What helps who sends others (RFC 9110, 15.5.16).
TAKEN = ("Accept-Encoding", "identity")
# What a body may take: so long, or as long as one of the largest size takes at this pace.
MIN_SECONDS = 10
BYTES_PER_SECOND = 512 * 1024
# Bytes of unfinished bodies that a process keeps for one role of callers; four of the largest size at least.
MIN_ROOM = 64 * 1024 * 1024
# Until a body that there was no room for may be sent again.
NO_ROOM_SECONDS = 2
# As much of each body takes no room: whoever fills it with halves of large ones keeps nobody from small ones.
SMALL = 16 * 1024
# Pieces that a body may come in: so many, and one for each of so many bytes, which is less than any network's packet.
MAX_PIECES = 2_000
PIECE = 256


def first_of_each(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by lower-case name: the first of a repeated one counts, of a body's encodings all of them."""
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
    """More than was asked for; the rest is not kept."""

    status = 413

    def __init__(self, largest: int) -> None:
        super().__init__(f"body is larger than {largest // MEBIBYTE} MiB")


class TooSlow(BodyError):
    """Still not there after the time it was given."""

    status = 408


class BrokenOff(BodyError):
    """The client hung up before the end: what came until then must not be taken for the whole."""


class NoRoom(BodyError):
    """Too many large bodies of such callers are under way."""


class InPieces(BodyError):
    """In more pieces than anybody who means well sends it: each costs about as much as a small call."""


class Encoded(BodyError):
    """Compressed, or encoded in another way: its bytes are not what its media type says."""

    status = 415


class Room:
    """Bytes of unfinished bodies, by the role of their callers."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()

    def take(self, role: str, size: int, largest: int) -> None:
        """`give_back` has to follow, unless there is none: NoRoom."""
        if self.taken[role] + size > max(MIN_ROOM, 4 * largest):
            raise NoRoom
        self.taken[role] += size

    def give_back(self, role: str, size: int) -> None:
        self.taken[role] -= size


ROOM = Room()


def body_timeout(largest: int) -> float:
    """Seconds that a body of at most `largest` bytes may take."""
    return max(MIN_SECONDS, largest / BYTES_PER_SECOND)


async def whole_body(
    headers: Mapping[bytes, bytes], receive: Callable[[], Awaitable[Mapping[str, Any]]], largest: int, role: str
) -> bytes:
    """At most `largest` bytes from a caller of `role`, if they come in time. Raises BodyError.

    What is announced to be larger, or encoded, is not read at all.
    """
    _require_as_it_is(headers)
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and float(announced) > largest:
        raise TooLarge(largest)
    parts: list[bytes] = []
    size = room = 0
    try:
        async with asyncio.timeout(body_timeout(largest)):
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    message = "body broke off"
                    raise BrokenOff(message)
                part: bytes = event.get("body", b"")
                size += len(part)
                _require_bounded(size, len(parts), largest)
                if not event.get("more_body", False):
                    return b"".join([*parts, part]) if parts else part
                if size > SMALL:
                    ROOM.take(role, len(part), largest)
                    room += len(part)
                parts.append(part)
    except TimeoutError:
        message = f"body did not arrive within {body_timeout(largest):.0f} s"
        raise TooSlow(message) from None
    finally:
        if room:
            ROOM.give_back(role, room)


def _require_as_it_is(headers: Mapping[bytes, bytes]) -> None:
    for name, taken in AS_IT_IS:
        if headers.get(name, taken).strip().lower() != taken:
            message = "body must not be encoded or compressed"
            raise Encoded(message)


def _require_bounded(size: int, pieces: int, largest: int) -> None:
    if size > largest:
        raise TooLarge(largest)
    if pieces > MAX_PIECES + size // PIECE:
        message = "body comes in too many pieces"
        raise InPieces(message)
