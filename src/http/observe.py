"""What every way in has around it: the request id, and one observation of the whole request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeAlias

from litestar.enums import ScopeType
from litestar.types import Message, Receive, Scope, Send

from src.domain.context import REQUEST_ID
from src.http import wire
from src.ports.telemetry import Telemetry

Application: TypeAlias = Callable[[Scope, Receive, Send], Coroutine[None, None, None]]

FAILED = 500


def observed(application: Application, route: str, telemetry: Telemetry) -> Application:
    """The application with its requests observed under `route`, a template and never a path."""

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP  # noqa: S101 - Litestar routes nothing else here
        request_id = wire.new_request_id(scope)
        status = FAILED

        def noting(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        token = REQUEST_ID.set(request_id)
        request = telemetry.request(scope["method"], route, scope["headers"], request_id)
        try:
            await application(scope, receive, noting)
        finally:
            request.finished(status)
            REQUEST_ID.reset(token)

    return outer
