"""What browsers are told by every answer, and which pages may read it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.conftest import CHECKOUT, Api, serving

DATA = {"x-content-type-options": "nosniff"}
PAGES = {**DATA, "x-frame-options": "DENY", "referrer-policy": "no-referrer"}
ORIGIN, OTHER = "https://ops.example", "https://evil.example"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "apikey,authorization,content-type,idempotency-key",
}
# What stands for the parts of a path that a route leaves open.
OPEN = re.compile(r"\{[^}]+\}")


def paths(api: Api) -> list[str]:
    """Every route there is, those of mounts by a path below, and some that there are not."""
    routes = [OPEN.sub("bff-checkout", route.path) for route in api.app.routes]
    below = ["/storage/v1/object/invoices/x.pdf", "/storage/v1/object/sign/invoices/x.pdf?token=x", "/auth/v1/user"]
    rest = [
        "/rest/v1/",
        "/rest/v1/ops.v_bookings?limit=1",
        "/rest/v1/rpc/search_places",
        "/rest/v1/nothing",
        "/rest/v1x",
    ]
    nowhere = [
        "/",
        "/nothing",
        "/functions/v1/nothing",
        "/functions/v1/bff-checkout/",
        "/schema/nothing",
        "/%2e%2e/docs",
    ]
    return [*routes, *below, *rest, *nowhere]


async def answers(api: Api, **headers: str) -> AsyncIterator[tuple[str, httpx.Response]]:
    for path in paths(api):
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
            for caller in ({}, api.service, api.anonymous):
                answer = await api.http.request(method, path, headers={**caller, **headers})
                yield f"{method} {path} {answer.status_code}", answer


async def test_every_answer_of_every_route_tells_browsers_what_it_is_not(api: Api) -> None:
    statuses = set()
    async for what, answer in answers(api):
        rest = f"{answer.url.path}/".startswith("/rest/v1/")
        for name, value in (DATA if rest else PAGES).items():
            assert answer.headers.get_list(name) == [value], (what, name)
        policy = answer.headers.get_list("content-security-policy")
        assert len(policy) == (0 if rest else 1), what
        if not rest:
            assert "default-src 'none'" in policy[0], what
            assert "frame-ancestors 'none'" in policy[0], what
        assert "strict-transport-security" not in answer.headers, what
        statuses.add(answer.status_code)
    assert {200, 400, 401, 404, 405} <= statuses


async def test_production_is_asked_for_by_https_from_then_on(database: str) -> None:
    async with serving(database, production=True) as api:
        async for what, answer in answers(api):
            assert answer.headers.get_list("strict-transport-security") == ["max-age=31536000"], what


async def test_an_answer_in_pieces_and_a_bug_tell_it_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    streamed = await api.http.get(
        "/rest/v1/catalog.search_index?select=slug", headers={**api.service, "accept": "application/x-ndjson"}
    )
    assert streamed.status_code == 200
    assert "ndjson" in streamed.headers["content-type"]
    assert streamed.headers["x-content-type-options"] == "nosniff"
    monkeypatch.setattr("src.http.payments.start_checkout", lambda *_: 1 / 0)
    broken = await api.post("bff-checkout", CHECKOUT)
    assert broken.status_code == 500
    assert broken.headers["x-content-type-options"] == "nosniff"


async def test_the_page_of_documentation_is_whole_without_another_host_and_runs_its_own_files_alone(api: Api) -> None:
    page = await api.http.get("/docs")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert not re.search(r"<style|<script>|\bstyle=|\bon\w+=|<img|<form|<iframe|//", page.text)
    files = re.findall(r'(?:src|href)="(/docs/[^"]+)"', page.text)
    assert [file.rpartition(".")[2] for file in files] == ["css", "js", "js"]
    for file in files:
        answer = await api.http.get(file)
        assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")
        assert answer.headers["content-type"].startswith(("text/css", "text/javascript"))
        assert "/schema/openapi.json" in answer.text or not file.endswith("start.js")


async def test_a_stored_file_is_nothing_that_a_browser_runs(api: Api) -> None:
    path = "/storage/v1/object/travellers/33333333-3333-4333-8333-333333333333/page.html"
    await api.http.put(path, content=b"<script>alert(1)</script>", headers=api.service)
    stored = await api.http.get(path, headers=api.service)
    assert stored.status_code == 200
    assert stored.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
    assert stored.headers["content-disposition"].startswith("attachment")
    assert {name: stored.headers[name] for name in PAGES} == PAGES


async def test_no_page_of_another_origin_reads_anything_unless_told(api: Api) -> None:
    for origin in (ORIGIN, "null"):
        async for what, answer in answers(api, origin=origin, **PREFLIGHT):
            assert not [name for name in answer.headers if name.startswith("access-control-")], what
            assert "origin" not in answer.headers.get("vary", "").lower(), what


async def test_pages_of_listed_origins_read_every_answer_and_no_others_do(database: str) -> None:
    async with serving(database, cors_origins=("https://console.example", ORIGIN)) as api:
        for origin in (OTHER, "null", "https://ops.example.evil.example", f"{ORIGIN}:8443", "http://ops.example"):
            async for what, answer in answers(api, origin=origin, **PREFLIGHT):
                assert not [name for name in answer.headers if name.startswith("access-control-")], what
                # A cache must not give this answer to who may read it, nor theirs to this page.
                assert "Origin" in answer.headers.get_list("vary"), what
        async for what, answer in answers(api):
            assert "Origin" in answer.headers.get_list("vary"), what
            assert "access-control-allow-origin" not in answer.headers, what
        async for what, answer in answers(api, origin=ORIGIN):
            assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN], what
            assert answer.headers["access-control-allow-credentials"] == "true", what
            exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
            for name in (
                *("x-request-id", "retry-after", "idempotent-replayed", "location", "content-range", "etag"),
                "preference-applied",
            ):
                assert name in exposed, what
            assert "Origin" in answer.headers.get_list("vary"), what


async def test_a_preflight_is_answered_without_a_key_for_every_route(database: str) -> None:
    async with serving(database, cors_origins=(ORIGIN,)) as api:
        for path in paths(api):
            for method in ("GET", "POST", "PATCH", "DELETE"):
                asked = {"origin": ORIGIN, **PREFLIGHT, "access-control-request-method": method}
                answer = await api.http.options(path, headers=asked)
                assert answer.status_code == 200, path
                assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN]
                assert method in answer.headers["access-control-allow-methods"]
                assert {"apikey", "idempotency-key"} <= set(answer.headers["access-control-allow-headers"].split(", "))
                assert answer.headers["vary"] == "Origin"
                assert answer.headers["x-content-type-options"] == "nosniff"


async def test_every_page_may_read_where_a_star_says_so(database: str) -> None:
    async with serving(database, cors_origins=("*",)) as api:
        async for what, answer in answers(api, origin=OTHER):
            assert answer.headers.get_list("access-control-allow-origin") == ["*"], what
            assert "access-control-allow-credentials" not in answer.headers, what
