"""`/healthz`, `/readyz` and each function's health (docs/api.md, Health, metrics and documents)."""

from datetime import UTC, datetime

import msgspec
from litestar import Response, route
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from src.http.wire import READ
from src.ports.health import Readiness


def routes(functions: list[str], readiness: Readiness) -> list[HTTPRouteHandler]:
    known = frozenset(functions)

    @route("/healthz", http_method=READ, include_in_schema=False, sync_to_thread=False)
    def healthz() -> Response[bytes]:
        return Response(b'{"ok":true}', media_type="application/json")

    @route("/readyz", http_method=READ, include_in_schema=False)
    async def readyz() -> Response[bytes]:
        state = await readiness.check()
        body = msgspec.json.encode({"ok": state.ready, "parts": state.parts, "switches": state.switches})
        return Response(body, status_code=200 if state.ready else 503, media_type="application/json")

    @route("/functions/v1/{fn:str}/health", http_method=READ, include_in_schema=False, sync_to_thread=False)
    def function_health(fn: FromPath[str]) -> Response[bytes]:
        if fn not in known:
            raise NotFoundException
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return Response(msgspec.json.encode({"ok": True, "fn": fn, "time": time}), media_type="application/json")

    return [healthz, readyz, function_health]
