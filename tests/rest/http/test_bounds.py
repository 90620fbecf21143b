"""/rest/v1 of the service: what is refused without its body, by role, and what is never as long as its request."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast
from urllib.parse import quote

import asyncpg
import httpx
import pytest
from litestar.routes import ASGIRoute

from src.edge.limits import MAX_HEADER_SIZE, MEBIBYTE
from src.edge.turns import Turns
from src.rest.asgi.access_log import AccessLog
from tests.conftest import ITINERARY, Api
from tests.rest.http.conftest import World, serving_world

CALLERS: dict[str, dict[str, str]] = {"anon": Api.anonymous, "traveller": Api.user(), "service": Api.service}
MAX_BODY = {"anon": MEBIBYTE, "traveller": MEBIBYTE, "service": 64 * MEBIBYTE}


async def sent(api: Api, path: str, body: AsyncIterator[bytes], who: str, **headers: str) -> httpx.Response:
    """What is mounted at /rest/v1 answers; the server around it takes in the rest of a body afterwards."""
    mounted = next(route for route in api.app.routes if isinstance(route, ASGIRoute) and route.path == "/rest/v1")
    transport = httpx.ASGITransport(cast("Any", mounted.route_handler.fn), root_path="/rest/v1")
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        return await http.post(f"/rest/v1{path}", content=body, headers={**CALLERS[who], **headers})


async def unread() -> AsyncIterator[bytes]:
    """A body of unknown size that nobody should ask for."""
    for _ in range(1):
        raise AssertionError
    yield b""


@pytest.mark.parametrize(
    ("path", "who", "status", "code", "message"),
    [
        ("/rpc/nosuch", "anon", 404, "PGRST202", "Could not find the function public.nosuch in the schema cache"),
        ("/rpc/fin.nosuch", "service", 404, "PGRST202", "Could not find the function fin.nosuch in the schema cache"),
        ("/nosuch", "anon", 404, "PGRST205", "Could not find the table 'public.nosuch' in the schema cache"),
        ("/rpc/place_hold", "anon", 401, "42501", "permission denied for function place_hold"),
        ("/rpc/place_hold", "traveller", 403, "42501", "permission denied for function place_hold"),
        ("/fin.entries", "anon", 401, "42501", "permission denied for schema fin"),
        ("/booking.itineraries", "traveller", 403, "42501", "permission denied for table itineraries"),
        ("/fin.entries", "service", 403, "42501", "permission denied for table entries"),
        ("/a/b", "anon", 404, "PGRST125", "Invalid path specified in request URL"),
        (f"/rpc/{'n' * 64}", "anon", 400, "PGRST100", "A name may have at most 63 bytes"),
    ],
)
async def test_a_large_body_is_not_read_for_what_cannot_be(
    api: Api, path: str, who: str, status: int, code: str, message: str
) -> None:
    answer = await sent(api, path, unread(), who)
    refused = answer.json()
    assert (answer.status_code, refused["code"], refused["message"]) == (status, code, message)
    assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401)
    announced = await sent(api, path, unread(), who, **{"content-length": str(MEBIBYTE)})
    assert announced.json() == refused


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "QUERY"])
@pytest.mark.parametrize("relation", ["booking.itineraries", "fin.entries", "ops.v_bookings"])
async def test_what_is_said_without_a_large_body_is_what_postgres_says(api: Api, method: str, relation: str) -> None:
    keyed = f"/rest/v1/{relation}?id=eq.{ITINERARY}" if method == "PUT" else f"/rest/v1/{relation}"
    row = b"select=id" if method == "QUERY" else json.dumps({"id": ITINERARY}).encode()
    for headers in CALLERS.values():
        small, large = [
            await api.http.request(method, keyed, content=content, headers=headers)
            for content in (row, row + b" " * 70_000)
        ]
        if small.status_code in (401, 403) and "permission denied" in small.text:
            assert (large.status_code, large.json()) == (small.status_code, small.json())
        else:
            assert large.status_code == small.status_code


async def test_the_database_is_asked_each_time(api: Api, admin: asyncpg.Connection) -> None:
    content = b"[" + b" " * 70_000 + b"]"
    refused = await api.http.post("/rest/v1/booking.itineraries", content=content, headers=api.user())
    assert refused.status_code == 403
    await admin.execute("grant insert on booking.itineraries to web_authenticated")
    granted = await api.http.post("/rest/v1/booking.itineraries", content=content, headers=api.user())
    assert granted.status_code == 201


@pytest.mark.parametrize("who", CALLERS)
async def test_a_body_is_as_large_as_its_callers_role_may_send(api: Api, who: str) -> None:
    async def pieces(size: int) -> AsyncIterator[bytes]:
        yield b'{"p_query":"'
        for _ in range(size // 4096 - 1):
            yield b" " * 4096
        yield b" " * (4096 - 12 - 2) + b'"}'

    path, largest = "/rpc/search_places?columns=p_query", MAX_BODY[who]
    for size in (largest, largest + 4096):
        answer = await sent(api, path, pieces(size), who)
        too_large = answer.status_code == 413
        assert too_large == (size > largest), answer.text
        if too_large:
            assert answer.json()["message"] == f"The request body is larger than {largest // MEBIBYTE} MiB"
    announced = await sent(api, path, unread(), who, **{"content-length": str(largest + 1)})
    assert announced.status_code == 413


async def test_limits_are_the_callers(api: Api) -> None:
    terms = ",".join(["id"] * 401)
    statuses = {
        who: (await api.http.get(f"/rest/v1/ops.v_bookings?select={terms}", headers=headers)).status_code
        for who, headers in CALLERS.items()
    }
    assert statuses == {"anon": 400, "traveller": 400, "service": 200}


@pytest.mark.parametrize("sent_as", ["QUERY", "POST"])
async def test_a_header_is_never_as_long_as_a_body(world: World, sent_as: str) -> None:
    async def header_of(query: str) -> Mapping[str, str]:
        prefer = {"prefer": "read"} if sent_as == "POST" else {}
        answer = await world.request(sent_as, "/animals", query, **prefer)
        assert answer.status_code == 200
        size = sum(len(name) + len(value) + 4 for name, value in answer.headers.raw)
        assert size <= MAX_HEADER_SIZE
        return answer.headers

    short = await header_of("name=eq.a")
    assert short["content-location"] == "/animals?name=eq.a"
    # What is percent-encoded grows.
    for text in ("a" * 5_000, "é" * 1_000, "a" * 900_000):
        header = await header_of(f"name=eq.{quote(text)}")
        assert "content-location" not in header
        assert header["content-range"] == "*/*"


async def test_what_the_database_answers_with_fits_into_a_header_too(world_database: str) -> None:
    long = "x" * 10_000
    admin = await asyncpg.connect(world_database)
    await admin.execute(f"""
        create function zoo.talkative() returns text language sql set search_path = '' as $$
          select set_config('response.headers', '[{{"X-Long": "{long}"}}, {{"X-Short": "1"}}]', true)
        $$;
        grant execute on function zoo.talkative() to visitor
    """)
    await admin.close()
    async with serving_world(world_database) as world:
        answer = await world.request("POST", "/rpc/talkative", {})
    assert answer.status_code == 200
    assert (answer.headers["x-short"], "x-long" in answer.headers) == ("1", False)


async def test_what_is_kept_of_requests_is_bounded_in_number_and_bytes(world: World) -> None:
    engine = world.engine
    caches = (engine._shapes, engine._seen, engine._cached_reads)  # noqa: SLF001 - what it keeps is not to be seen otherwise
    for cache in caches:
        cache.clear()
    for number in range(40):
        await world.get(f"/animals?select=n{number}:name&order={'name,' * 300}name")
        await world.get(f"/animals?id=in.({','.join(map(str, range(number, number + 900)))})")
        names = json.dumps({f"k{number}{key}": 1 for key in range(3000)})
        await world.request("POST", "/rpc/echo_json", names)
    assert sum(len(repr(key)) for cache in caches for key in cache) < 200_000


@pytest.mark.parametrize(
    "query",
    [
        "name=match.(a{1,200}){1,200}",
        f"name=match.{'(' * 499}a{')' * 499}",
        f"search=fts.{'(' * 999}a",
        f"weight=eq.{'9' * 50_000}",
        f"born=eq.{'9' * 50_000}",
        f"id=eq.{'9' * 50_000}",
        "weight=eq.1e400",
    ],
)
async def test_a_value_beyond_the_server_is_the_callers_fault(world: World, query: str) -> None:
    assert (await world.get(f"/animals?{quote(query, safe='=&')}")).status_code in (200, 400)


async def test_a_value_nested_deeper_than_the_servers_stack_is_the_callers_fault(world: World) -> None:
    deep = "[" * 20_000
    assert (await world.get(f"/houses?facts=eq.{deep}")).status_code == 400
    form = {"content_type": "application/x-www-form-urlencoded"}
    assert (await world.request("POST", "/rpc/named_json", f"doc={deep}", **form)).status_code == 400


async def test_large_requests_leave_room_between_each_other() -> None:
    turns, seen = Turns(), []

    async def large(name: str) -> None:
        await turns.take()
        time.sleep(0.01)  # noqa: ASYNC251 - what is large keeps everybody waiting
        seen.append(name)

    async def small() -> None:
        for step in range(3):
            await asyncio.sleep(0)
            seen.append(str(step))

    await asyncio.gather(*(large(name) for name in "abc"), small())
    assert seen == ["a", "0", "1", "2", "b", "c"]


@pytest.mark.parametrize(("size", "echoed"), [(512, True), (513, False)])
async def test_a_traced_header_is_echoed_while_it_is_short(zoo: World, size: int, *, echoed: bool) -> None:
    transport = httpx.ASGITransport(cast("Any", AccessLog(zoo.application, b"x-trace")))
    async with httpx.AsyncClient(transport=transport, base_url="http://zoo") as http:
        answer = await http.get("/animals?limit=1", headers={"x-trace": "t" * size})
    assert (answer.status_code, "x-trace" in answer.headers) == (200, echoed)
