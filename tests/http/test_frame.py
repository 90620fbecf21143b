"""What is served is one Litestar application: its middleware sees every request, and CORS answers its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from litestar.types import ASGIApp, Receive, Scope, Send

from src import app
from src.http.application import Application
from tests.conftest import Api, serving

ORIGIN = {"origin": "https://ops.example"}
PREFLIGHT = {**ORIGIN, "access-control-request-method": "POST"}
REQUESTS = [
    ("GET", "/functions/v1/ops-bookings", 200),
    ("GET", "/functions/v1/ops-bookings/", 200),
    ("POST", "/functions/v1/bff-checkout", 400),
    ("POST", "/functions/v1/bff-checkout/", 400),
    ("DELETE", "/functions/v1/bff-checkout", 405),
    ("GET", "/functions/v1/bff-checkout/health", 200),
    ("POST", "/functions/v1/bff-checkout/health", 405),
    ("GET", "/functions/v1/nothing/health", 404),
    ("GET", "/functions/v1/nothing", 404),
    ("GET", "/rest/v1", 200),
    ("GET", "/rest/v1/", 200),
    ("GET", "/rest/v1/catalog.search_index?limit=1", 200),
    ("GET", "/rest/v1/nothing", 404),
    ("GET", "/rest/v1x", 404),
    ("GET", "/rest/v1x/catalog.search_index", 404),
    ("GET", "/storage/v1x/object/a/b", 404),
    ("GET", "/storage/v1/object/invoices/x.pdf", 401),
    ("GET", "/storage/v1/nothing", 404),
    ("GET", "/auth/v1/user", 401),
    ("GET", "/healthz", 200),
    ("HEAD", "/healthz", 200),
    ("POST", "/healthz", 405),
    ("OPTIONS", "/healthz", 204),
    ("GET", "/docs", 200),
    ("GET", "/", 302),
    ("GET", "/nothing", 404),
    ("HEAD", "/nothing", 404),
    ("OPTIONS", "/nothing", 404),
    ("GET", "/%2e%2e/docs", 404),
]


@pytest.fixture(params=[(), ("https://ops.example",)], ids=["one origin", "CORS"])
async def seeing(
    database: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Api, list[str]]]:
    """The application with a middleware more, and the paths that it saw."""
    seen: list[str] = []

    def noting(app: ASGIApp) -> ASGIApp:
        def noted(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            seen.append(str(scope["raw_path"], "ascii"))
            return app(scope, receive, send)

        return noted

    class Noting(Application):
        def __init__(self, *, middleware: list[Any], **rest: Any) -> None:
            super().__init__(middleware=[*middleware, noting], **rest)

    monkeypatch.setattr(app, "Application", Noting)
    async with serving(database, cors_origins=request.param) as api:
        yield api, seen


async def test_a_middleware_sees_every_request(seeing: tuple[Api, list[str]]) -> None:
    api, seen = seeing
    for method, path, status in REQUESTS:
        seen.clear()
        answer = await api.http.request(method, path, headers={**Api.anonymous, **ORIGIN})
        assert answer.status_code == status, (method, path)
        assert seen == [path.partition("?")[0]], (method, path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        if path.startswith(("/rest/v1x", "/storage/v1x")):
            assert answer.json()["error"] == "No such path"


async def test_a_strange_host_is_seen_and_refused(seeing: tuple[Api, list[str]]) -> None:
    api, seen = seeing
    for path in ("/functions/v1/bff-checkout", "/healthz", "/nothing"):
        seen.clear()
        answer = await api.http.get(path, headers={"host": "a/b@c"})
        assert (answer.status_code, answer.json()["code"]) == (400, "INPUT_INVALID")
        assert seen == [path]


async def test_a_preflight_is_answered_by_cors_alone(seeing: tuple[Api, list[str]]) -> None:
    api, seen = seeing
    for path in ("/functions/v1/bff-checkout", "/rest/v1/x", "/storage/v1/object/a/b", "/nothing", "/healthz"):
        seen.clear()
        answer = await api.http.options(path, headers=PREFLIGHT)
        allowed = answer.headers.get("access-control-allow-origin")
        assert (allowed is None) == bool(seen), path
        if allowed is not None:
            assert (allowed, answer.status_code) == ("https://ops.example", 200)
