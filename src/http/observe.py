"""Middleware of all routes: the request id, and metrics and traces of the request."""

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
# Other methods are recorded as one, because clients can invent any number of them.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"})
OTHER = "_OTHER"
VALID_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def observing(telemetry: Telemetry) -> Callable[[ASGIApp], ASGIApp]:
    """Requests are recorded by their route's template, not by their path."""

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
    """The caller's x-request-id if it is valid, else a new uuid."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and VALID_REQUEST_ID.fullmatch(value):
            return value.decode()
    # The id is no secret, so it needs no system randomness.
    return str(UUID(int=getrandbits(128), version=4))
