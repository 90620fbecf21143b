"""How much of a body, how long, and how many at once: by the caller's role."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from src.edge import body
from src.edge.body import SMALL, InPieces, OverBudget, TooLarge, TooSlow, body_timeout, whole_body
from src.http.rest import OF_ROLE
from tests.conftest import Api
from tests.support.endpoints import declared

MEBIBYTE = 1024 * 1024
SERVICES = 64 * MEBIBYTE
ROWS = "/rest/v1/booking.itineraries"


class Coming:
    """A body that comes in pieces, and after `last` pieces comes no more without ending."""

    def __init__(self, pieces: int, size: int = 60_000, *, ends: bool = False) -> None:
        self.left, self.size, self.ends = pieces, size, ends

    async def receive(self) -> dict[str, Any]:
        if self.left:
            self.left -= 1
            return {"type": "http.request", "body": b"x" * self.size, "more_body": True}
        if self.ends:
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def read(self, largest: int = MEBIBYTE, role: str = "anon", **headers: bytes) -> bytes:
        given = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        return await whole_body(given, self.receive, largest, role)


@pytest.fixture
async def halves() -> Any:
    """Begins bodies that never end; afterwards nothing may be left of them."""
    begun: list[asyncio.Task[bytes]] = []

    async def begin(number: int, pieces: int, size: int = 60_000, **others: Any) -> list[asyncio.Task[bytes]]:
        begun.extend(asyncio.create_task(Coming(pieces, size).read(**others)) for _ in range(number))
        await asyncio.sleep(0.01)
        return begun

    yield begin
    for task in begun:
        task.cancel()
    await asyncio.gather(*begun, return_exceptions=True)
    assert not +body.BUDGET.taken


def refused(tasks: list[asyncio.Task[bytes]]) -> int:
    return sum(task.done() and isinstance(task.exception(), OverBudget) for task in tasks)


async def test_halves_of_large_bodies_take_a_bounded_room_and_leave_small_ones_alone(halves: Any) -> None:
    tasks = await halves(200, pieces=16)
    assert 60 < 200 - refused(tasks) < 75
    with pytest.raises(OverBudget):
        await Coming(16, ends=True).read()
    assert await Coming(1, SMALL, ends=True).read() == b"x" * SMALL
    assert len(await Coming(16, ends=True).read(role="authenticated")) == 16 * 60_000
    assert len(await Coming(16, ends=True).read(largest=SERVICES, role="service_role")) == 16 * 60_000


async def test_small_halves_take_no_room(halves: Any) -> None:
    assert refused(await halves(2_000, pieces=1, size=SMALL)) == 0
    assert len(await Coming(16, ends=True).read()) == 16 * 60_000


async def test_the_service_has_room_for_four_of_its_largest(halves: Any) -> None:
    tasks = await halves(5, pieces=1_100, largest=SERVICES, role="service_role")
    assert refused(tasks) == 1


async def test_what_is_too_large_is_not_read() -> None:
    coming = Coming(10)
    for announced in (b"1048577", b"9" * 5_000):
        with pytest.raises(TooLarge):
            await coming.read(content_length=announced)
    assert coming.left == 10
    with pytest.raises(TooLarge):
        await Coming(100).read()


async def test_a_body_has_time_by_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [body_timeout(limits.body) for limits in OF_ROLE.values()] == [10, 10, 128]
    monkeypatch.setattr(body, "MIN_SECONDS", 0.1)
    monkeypatch.setattr(body, "BYTES_PER_SECOND", 10**12)
    with pytest.raises(TooSlow):
        await Coming(1).read()


@pytest.mark.parametrize(("caller", "status"), [("anonymous", 413), ("user", 413), ("service", 400)])
async def test_anonymous_callers_and_users_send_a_mebibyte_to_rest(api: Api, caller: str, status: int) -> None:
    headers = api.user() if caller == "user" else getattr(api, caller)
    content = json.dumps([{"nothing": "x" * 2 * MEBIBYTE}])
    answer = await api.http.post(ROWS, content=content, headers={**headers, "content-type": "application/json"})
    assert answer.status_code == status, answer.text


async def test_who_finds_no_room_is_told_when_to_come_back(api: Api, halves: Any) -> None:
    await halves(100, pieces=17)
    content = json.dumps({"x": "x" * 1_000_000})
    for path in ("/functions/v1/bff-checkout", "/rest/v1/rpc/start_checkout"):

        async def pieces() -> Any:
            for start in range(0, len(content), 10_000):
                yield content[start : start + 10_000].encode()

        headers = {**api.anonymous, "content-type": "application/json"}
        answer = await api.http.post(path, content=pieces(), headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


ENCODINGS = ("gzip", "br", "deflate", "identity, gzip", "x")
ENCODED = [
    *([("content-encoding", kind)] for kind in ENCODINGS),
    [("transfer-encoding", "gzip, chunked")],
    # Of several headers each counts.
    [("content-encoding", "identity"), ("content-encoding", "gzip")],
    [("content-encoding", "gzip"), ("content-encoding", "identity")],
    [("content-encoding", "identity"), ("x-a", "b"), ("x-a", "c"), ("content-encoding", "br")],
]


@pytest.mark.parametrize("encoding", ENCODED)
async def test_an_encoded_body_is_not_read_anywhere(api: Api, encoding: list[tuple[str, str]]) -> None:
    functions = [("POST", f"/functions/v1/{endpoint.name}") for endpoint in declared() if endpoint.method == "POST"]
    rows = [(method, ROWS) for method in ("POST", "PATCH", "PUT", "QUERY")]
    others = [
        ("POST", "/rest/v1/rpc/search_places"),
        ("PUT", "/storage/v1/object/invoices/a.pdf"),
        ("POST", "/storage/v1/object/sign/invoices/a.pdf"),
    ]
    assert len(functions) > 20
    for method, path in (*functions, *rows, *others):
        headers = [*Api.service.items(), ("content-type", "application/json"), *encoding]
        answer = await api.http.request(method, path, content=b"{}", headers=headers)
        assert (answer.status_code, answer.headers.get("accept-encoding")) == (415, "identity"), (path, answer.text)
        assert "encoded" in answer.text


async def test_a_body_that_says_it_is_as_it_is_is_read(api: Api) -> None:
    headers = {**Api.service, "content-type": "application/json", "content-encoding": "Identity"}
    answer = await api.http.post("/rest/v1/rpc/search_places", json={"p_query": "kigali"}, headers=headers)
    assert answer.status_code == 200


async def test_a_body_in_crumbs_is_refused_and_one_in_packets_is_not() -> None:
    assert len(await Coming(1_000, 536, ends=True).read()) == 536_000
    crumbs = Coming(20_000, 1, ends=True)
    with pytest.raises(InPieces):
        await crumbs.read()
    assert crumbs.left > 17_000


@pytest.mark.parametrize("path", ["/functions/v1/search-places", "/rest/v1/rpc/search_places"])
async def test_who_sends_crumbs_is_told_so(api: Api, path: str) -> None:
    async def crumbs() -> AsyncIterator[bytes]:
        for _ in range(3_000):
            yield b" "

    answer = await api.http.post(path, content=crumbs(), headers={**api.anonymous, "content-type": "application/json"})
    assert (answer.status_code, "too many pieces" in answer.text) == (400, True), answer.text
