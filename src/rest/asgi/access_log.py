"""Middleware of the standalone engine: the traced header and the access log."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from src.edge.asgi import Asgi, Message, Receive, Send
from src.rest.asgi.application import STATEMENT

log = logging.getLogger("ecotrips.rest.access")
SERVER_ERROR, CLIENT_ERROR = 500, 400
MAX_TRACED_LENGTH = 512


@dataclass(frozen=True, slots=True)
class AccessLog:
    """Echoes the request's `trace_header` (lower case, none when empty) and logs answers by their severity."""

    application: Asgi
    trace_header: bytes = b""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        traced = dict(scope["headers"]).get(self.trace_header) if self.trace_header else None

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The echoed header has to fit into buffers of clients and proxies.
                if traced is not None and len(traced) <= MAX_TRACED_LENGTH:
                    message["headers"] = [*message["headers"], (self.trace_header, traced)]
                _log(scope, message["status"])
            await send(message)

        await self.application(scope, receive, observed)


def _log(scope: Message, status: int) -> None:
    level = logging.ERROR if status >= SERVER_ERROR else logging.WARNING if status >= CLIENT_ERROR else logging.INFO
    if log.isEnabledFor(level):
        query = scope.get("query_string", b"").decode("latin-1")
        target = f"{scope['path']}?{query}" if query else scope["path"]
        # Control characters in a path must not begin another line.
        log.log(level, '"%s %s" %d', scope["method"], ascii(target)[1:-1], status)
        if STATEMENT in scope:
            log.log(level, "%s", scope[STATEMENT])
