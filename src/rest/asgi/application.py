"""The ASGI application of the REST engine: reads a request, plans, runs, answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus

from src.edge.asgi import Message, Receive, Send
from src.edge.body import OVER_BUDGET_SECONDS, TAKEN, BodyError, Encoded, OverBudget, whole_body
from src.edge.limits import MAX_HEADER_SIZE, SERVICE, Limits
from src.edge.turns import Turns
from src.rest.asgi.information import INFORMATION, Information
from src.rest.asgi.timing import Stopwatch
from src.rest.errors import RestError
from src.rest.ports import Identity, RestEngine
from src.rest.protocol.media import Media
from src.rest.protocol.preferences import parse_preferences
from src.rest.protocol.reading import read, with_query_in_body
from src.rest.protocol.request import ActionKind, Configuration, Job, Request, route
from src.rest.protocol.response import Response, respond

log = logging.getLogger(__name__)

# The scope's key of a request's statement, for the access log.
STATEMENT = "rest.statement"
WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
# Versions of HTTP that end an answer by closing the connection, as ASGI and granian write them.
OLD_HTTP = ("1.0", "1")
MAX_STATUS = 599
# The bytes of a header line beside name and value.
AROUND = 4
# Bodies up to this size are read before the caller's right is checked.
SMALL_BODY = 64 * 1024
# Queries and bodies up to this size are parsed without taking a turn. A parenthesis may begin an embedded resource,
# which costs as much as so many bytes.
QUICKLY_PLANNED = 512
PARENTHESIS = 32
# More digits than any size has.
DIGITS = 19
# A stream holds a transaction, so a client that reads nothing for so long loses it.
TIMEOUT_SECONDS = 15

Identify = Callable[[Mapping[bytes, bytes]], Identity]
Admit = Callable[[Message, Request], Awaitable[None]]


@dataclass(slots=True)
class RestApplication:
    """Serves `engine` below any mount.

    `identify` finds the caller from the headers, or raises RestError; so does `admit`, told of each request of a known
    caller before its body is read, when it is not to be served now. `limits` are those of roles; other roles have the
    service's. Large requests take `turns`.
    """

    engine: RestEngine
    configuration: Configuration
    identify: Identify
    information: Information
    admit: Admit | None = None
    limits: Mapping[str, Limits] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)
    server_timing: bool = False
    log_query: bool = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request. Every failure becomes an answer in PostgREST's form."""
        watch = Stopwatch() if self.server_timing else None
        head = scope["method"] == "HEAD"
        try:
            answer = await self._answer(scope, receive, watch.lap if watch is not None else _untimed)
            if isinstance(answer, Response):
                await self._send(send, answer, watch)
                return
        except RestError as error:
            await self._send(send, self._refused(error), watch, head=head)
        except Exception:
            log.exception("REST request failed: %s %s", scope["method"], scope["path"])
            await self._send(
                send, self._refused(RestError(500, "PGRSTX00", "An internal error occurred")), watch, head=head
            )
        else:
            await answer.send(receive, send)

    async def _answer(self, scope: Message, receive: Receive, lap: Callable[[str], None]) -> Response | _Stream:
        request = Request(scope["method"], _path(scope), scope.get("query_string", b""), scope["headers"])
        identity = self.identify(request.first)
        lap("jwt")
        if self.admit is not None:
            await self.admit(scope, request)
        limits = self.limits.get(identity.role, SERVICE)
        if request.method not in WITHOUT_BODY:
            await self._expect(request, identity, limits)
            request.body = await _body(request, receive, identity.role, limits.body)
        cached = self.engine.cached(request)
        large = cached is None and _effort(request) > QUICKLY_PLANNED
        if large:
            await self.turns.take()
        job = read(self.configuration, request, limits) if cached is None else cached[0]
        lap("parse")
        if job.action.kind in INFORMATION:
            return await self.information.answer(job, identity)
        if large:
            await self.turns.take()
        prepared = self.engine.prepare(job) if cached is None else cached[1]
        lap("plan")
        if self.log_query:
            scope[STATEMENT] = prepared.statement
        if prepared.media.kind is Media.NDJSON:
            if scope.get("http_version") in OLD_HTTP:
                # In HTTP/1.0 an answer ends with the connection, so a truncated one would look complete.
                message = "Streams of rows need HTTP/1.1"
                raise RestError(426, "PGRST107", message, headers=[("Upgrade", "HTTP/1.1")])
            return await _Stream.started(self.engine.stream(job, prepared, identity), job, prepared.media.content_type)
        result = await self.engine.run(job, prepared, identity)
        lap("transaction")
        response = respond(job, prepared, result)
        lap("response")
        return response

    async def _expect(self, request: Request, identity: Identity, limits: Limits) -> None:
        """Refuse a request before its body is read, as far as that is possible.

        Names and rights are checked before a large body, or one of unknown size. For a small body the check would cost
        more than reading it.
        """
        announced = request.first.get(b"content-length", b"")
        size = int(announced) if announced.isdigit() and len(announced) < DIGITS else None
        if size is not None and not SMALL_BODY < size <= limits.body:
            return
        action = route(self.configuration, request)
        if action.kind in INFORMATION:
            return
        may_read = parse_preferences(request.all(b"prefer"), may_end_transaction=False)
        if action.kind is ActionKind.CREATE and with_query_in_body(request, may_read):
            action = action._replace(kind=ActionKind.READ)
        await self.engine.require(action, identity)

    def _refused(self, error: RestError) -> Response:
        body = error.body(minimal=self.configuration.minimal_errors)
        headers = [
            ("Content-Type", "application/json; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Proxy-Status", f"PostgREST; error={error.code}"),
            *error.headers,
        ]
        return Response(error.status, headers, body, error.reason)

    async def _send(self, send: Send, response: Response, watch: Stopwatch | None, *, head: bool = False) -> None:
        headers = response.headers
        if watch is not None:
            headers.append(("Server-Timing", watch.header()))
        status = response.status if HTTPStatus.CONTINUE < response.status <= MAX_STATUS else 500
        await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
        await send({"type": "http.response.body", "body": b"" if head else response.body})


def _effort(request: Request) -> int:
    query = request.raw_query
    return len(query) + len(request.body) + PARENTHESIS * (query.count(b"(") + query.count(b"%28"))


async def _body(request: Request, receive: Receive, role: str, max_size: int) -> bytes:
    try:
        return await whole_body(request.first, receive, max_size, role)
    except OverBudget:
        message = "Too many large request bodies are under way"
        raise RestError(503, "PGRST102", message, headers=[("Retry-After", str(OVER_BUDGET_SECONDS))]) from None
    except BodyError as error:
        headers = [TAKEN] if isinstance(error, Encoded) else []
        raise RestError(error.status, "PGRST102", f"The request {error}", headers=headers) from None


def _untimed(_step: str) -> None:
    pass


@dataclass(slots=True)
class _Stream:
    """An answer in pieces. The first piece is read before the status is sent, so that errors still get their status."""

    first: bytes
    rest: AsyncGenerator[bytes]
    headers: list[tuple[str, str]]

    @classmethod
    async def started(cls, pieces: AsyncGenerator[bytes], job: Job, content_type: str) -> _Stream:
        first = await anext(pieces, b"")
        headers = [("Content-Type", content_type), ("Vary", "Accept, Prefer, Range")]
        if job.action.negotiated:
            headers.append(("Content-Profile", job.action.name.schema))
        return cls(first, pieces, headers)

    async def send(self, receive: Receive, send: Send) -> None:
        """Send until the end or until the client disconnects, which rolls back.

        Raises what the database raises, and TimeoutError for a client that reads nothing: the connection is then closed
        without an end, so that the part is not taken for the whole.
        """
        gone = asyncio.ensure_future(_gone(receive))
        try:
            async with contextlib.aclosing(self.rest):
                await send({"type": "http.response.start", "status": 200, "headers": _encoded(self.headers)})
                piece = self.first
                while piece and not gone.done():
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                    piece = await anext(self.rest, b"")
            await send({"type": "http.response.body", "body": b""})
        except (RestError, TimeoutError) as error:
            reason = error.code if isinstance(error, RestError) else "the client took nothing"
            log.warning("REST stream broken off: %s", reason)
            raise
        finally:
            gone.cancel()


async def _gone(receive: Receive) -> None:
    """Until the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _path(scope: Message) -> str:
    """The decoded path below the mount."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path") or "")


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """The headers for ASGI, without the longest ones when they exceed what clients accept."""
    encoded = [(_lower(name), value.encode()) for name, value in headers]
    size = sum([len(name) + len(value) + AROUND for name, value in encoded])
    while size > MAX_HEADER_SIZE:
        longest = max(encoded, key=lambda header: len(header[1]))
        encoded.remove(longest)
        size -= len(longest[0]) + len(longest[1]) + AROUND
    return encoded


@lru_cache(256)
def _lower(name: str) -> bytes:
    return name.lower().encode("latin-1", "replace")
