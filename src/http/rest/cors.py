"""Cross-origin requests, answered around the engine as PostgREST does."""

from __future__ import annotations

from dataclasses import dataclass

from src.http.rest.application import Asgi, Message, Receive, Send

METHODS = (b"GET", b"POST", b"PATCH", b"PUT", b"DELETE", b"OPTIONS", b"HEAD")
SIMPLE_HEADERS = (b"Accept", b"Accept-Language", b"Content-Language")
EXPOSED = (
    b"Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, Transfer-Encoding, "
    b"Range-Unit"
)
A_DAY = b"86400"


@dataclass(frozen=True, slots=True)
class Cors:
    """`origins` may read answers, with credentials; none means that all may, without."""

    application: Asgi
    origins: tuple[bytes, ...] = ()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        origin = headers.get(b"origin")
        if origin is None or (self.origins and origin not in self.origins):
            await self.application(scope, receive, send)
            return
        common = [(b"access-control-allow-origin", origin if self.origins else b"*")]
        if self.origins:
            common.append((b"access-control-allow-credentials", b"true"))
        if scope["method"] == "OPTIONS" and headers.get(b"access-control-request-method") in METHODS:
            await self._preflight(headers, common, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0] != b"access-control-allow-origin"]
                message["headers"] = [*kept, *common, (b"access-control-expose-headers", EXPOSED)]
            await send(message)

        await self.application(scope, receive, send_with_headers)

    async def _preflight(self, headers: dict[bytes, bytes], common: list[tuple[bytes, bytes]], send: Send) -> None:
        asked = [name.strip() for name in headers.get(b"access-control-request-headers", b"").split(b",")]
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
