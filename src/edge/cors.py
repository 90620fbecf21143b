"""Cross-origin requests (https://fetch.spec.whatwg.org/#http-cors-protocol), answered as PostgREST does."""

from __future__ import annotations

from dataclasses import dataclass

from src.edge.asgi import Asgi, Message, Receive, Send

METHODS = (b"GET", b"POST", b"PATCH", b"PUT", b"DELETE", b"OPTIONS", b"HEAD")
SIMPLE_HEADERS = (b"Accept", b"Accept-Language", b"Content-Language")
POSTGREST_EXPOSES = (
    b"Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, Transfer-Encoding, "
    b"Range-Unit"
)
# Headers that clients may read.
SERVICE_EXPOSES = POSTGREST_EXPOSES + (
    b", ETag, Idempotent-Replayed, Preference-Applied, Retry-After, WWW-Authenticate, X-Request-Id"
)
A_DAY = b"86400"
# The maximum bytes of the header names that a preflight asks for.
MAX_ASKED = 1024


@dataclass(frozen=True, slots=True)
class Cors:
    """`origins` may read answers, with credentials; None allows all, without credentials.

    `exposed` are names of headers.
    """

    origins: frozenset[bytes] | None = None
    exposed: bytes = POSTGREST_EXPOSES

    def around(self, app: Asgi) -> Asgi:
        """Middleware: the application's answer with CORS headers, or the answer to a preflight."""

        async def shared(scope: Message, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            headers: dict[bytes, bytes] = dict(scope["headers"])
            added = self._for(headers.get(b"origin"))
            if added and scope["method"] == "OPTIONS" and headers.get(b"access-control-request-method") in METHODS:
                await self._preflight(headers, [*added, *self._vary()], send)
                return
            if added:
                added.append((b"access-control-expose-headers", self.exposed))

            async def send_with_headers(message: Message) -> None:
                if message["type"] == "http.response.start":
                    kept = [
                        pair for pair in message["headers"] if not added or pair[0] != b"access-control-allow-origin"
                    ]
                    message["headers"] = [*kept, *added, *self._vary()]
                await send(message)

            await app(scope, receive, send_with_headers)

        return shared

    def _for(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        if origin is None:
            return []
        if self.origins is None:
            return [(b"access-control-allow-origin", b"*")]
        if origin not in self.origins:
            return []
        return [(b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true")]

    def _vary(self) -> list[tuple[bytes, bytes]]:
        """Keeps caches from serving one origin's answer to another one."""
        return [(b"vary", b"Origin")] if self.origins is not None else []

    async def _preflight(self, headers: dict[bytes, bytes], common: list[tuple[bytes, bytes]], send: Send) -> None:
        listed = headers.get(b"access-control-request-headers", b"")
        # The answer repeats the names, and has to fit into a header.
        asked = [name.strip() for name in listed.split(b",")] if len(listed) <= MAX_ASKED else []
        names = dict.fromkeys([b"Authorization", *filter(None, asked), *SIMPLE_HEADERS])
        answer = [
            *common,
            (b"access-control-allow-methods", b", ".join(METHODS)),
            (b"access-control-allow-headers", b", ".join(names)),
            (b"access-control-max-age", A_DAY),
            (b"content-length", b"0"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": answer})
        await send({"type": "http.response.body", "body": b""})
