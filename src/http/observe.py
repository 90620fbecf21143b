"""Middleware of every way in: the request id, and one observation of the whole request."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from random import getrandbits
from uuid import UUID

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from src.domain.context import REQUEST_ID
from src.ports.telemetry import Telemetry

FAILED = 500
# Others are told as one, as OpenTelemetry does: what callers invent would be a series each, for ever.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"})
OTHER = "_OTHER"
VALID_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def observing(telemetry: Telemetry) -> Callable[[ASGIApp], ASGIApp]:
    """Requests are observed under their route's template, never a path."""

    def around(app: ASGIApp) -> ASGIApp:
        async def observed(scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["type"] == ScopeType.HTTP  # noqa: S101 - no route takes websockets
            request_id = new_request_id(scope)
            status = FAILED

            def noting(message: Message) -> Awaitable[None]:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                return send(message)

            token = REQUEST_ID.set(request_id)
            method = scope["method"] if scope["method"] in METHODS else OTHER
            request = telemetry.request(method, scope["path_template"], scope["headers"], request_id)
            try:
                await app(scope, receive, noting)
            finally:
                request.finished(status)
                REQUEST_ID.reset(token)

        return observed

    return around


def new_request_id(scope: Scope) -> str:
    """The caller's x-request-id when it is a valid one, else a new uuid."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and VALID_REQUEST_ID.fullmatch(value):
            return value.decode()
    # Whoever guesses it gains nothing: no need to ask the system for random bits at every request.
    return str(UUID(int=getrandbits(128), version=4))
