"""`GET /metrics`: this process's metrics and the database's service levels in Prometheus' text format."""

from __future__ import annotations

from hmac import compare_digest
from typing import Protocol

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import HTTPRouteHandler

from src.ports.service_levels import ServiceLevels

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Rendered(Protocol):
    def text(self, levels: dict[str, float]) -> bytes: ...


def route(metrics: Rendered, levels: ServiceLevels, token: str) -> HTTPRouteHandler:
    """With a `token`, only its bearer may read them."""

    @get("/metrics", include_in_schema=False)
    async def read(request: Request[None, None, State]) -> Response[bytes]:
        given = request.headers.get("authorization", "")
        if token and not compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise NotAuthorizedException
        return Response(metrics.text(await levels.now()), media_type=MEDIA_TYPE)

    return read
