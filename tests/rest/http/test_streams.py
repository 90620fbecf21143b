"""NDJSON: rows go to the client as they are read, and nothing is held for one who does not take them."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from src.rest.asgi import application
from tests.rest.http.conftest import World
from tests.support.standalone import standalone

STREAMED = {"accept": "application/x-ndjson"}


async def test_rows_stream_one_a_line(zoo: World) -> None:
    answer = await zoo.get("/animals?select=id&order=id", accept="application/x-ndjson")
    assert answer.text.splitlines() == [f'{{"id":{n}}}' for n in range(1, 7)]
    refused = await zoo.get("/private_notes", accept="application/x-ndjson")
    assert refused.status_code == 401
    assert (await zoo.get("/animals?id=eq.0", accept="application/x-ndjson")).text == ""


async def test_results_of_functions_stream_too(zoo: World) -> None:
    async def lines(path: str) -> list[str]:
        answer = await zoo.get(path, accept="application/x-ndjson")
        assert answer.headers["content-type"] == "application/x-ndjson; charset=utf-8", answer.text
        return answer.text.splitlines()

    assert await lines("/rpc/numbers?upto=3") == ["1", "2", "3"]
    assert await lines("/rpc/pairs?n=gt.1&select=word&order=n.desc") == ['{"word":"three"}', '{"word":"two"}']
    assert await lines("/rpc/animals_in?house=2&select=id,houses(name)") == ['{"id":4,"houses":{"name": "Bird House"}}']
    assert await lines("/rpc/add?a=1&b=2") == ["3"]
    assert (await zoo.get("/rpc/nothing", accept="application/x-ndjson")).status_code == 406


async def test_a_stream_keeps_or_undoes_what_it_wrote(world: World) -> None:
    names = {"names": ["a", "b"]}
    streamed = {"role": "keeper", "accept": "application/x-ndjson"}
    undone = await world.request("POST", "/rpc/visits_by", names, prefer="tx=rollback", **streamed)
    assert len(undone.text.splitlines()) == 2
    assert await world.rows("/visits?select=visitor") == []
    await world.request("POST", "/rpc/visits_by", names, **streamed)
    assert await world.rows("/visits?select=visitor") == [{"visitor": "a"}, {"visitor": "b"}]


def test_a_stream_that_ends_early_is_no_whole_answer_and_holds_nothing(world_database: str, tmp_path: Path) -> None:
    with standalone(world_database, tmp_path, PGRST_DB_POOL="1", PGRST_LOG_LEVEL="warn") as served:
        assert served.http.get("/rpc/breaks_at?line=10001", headers=STREAMED).text.count("\n") == 10_000
        assert served.http.get("/rpc/breaks_at?line=1", headers=STREAMED).status_code == 400
        with pytest.raises(httpx.RemoteProtocolError):
            served.http.get("/rpc/breaks_at?line=9000", headers=STREAMED)
        served.wait(lambda: "REST stream broken off: 22012" in served.output.read_text())
        # Ten gigabytes, to a client that hangs up.
        with served.http.stream("GET", "/rpc/wide?lines=1000000", headers=STREAMED) as answer:
            assert next(answer.iter_raw()).startswith(b'"xxx')
        assert served.http.get("/countries?select=id&id=eq.1").json() == [{"id": 1}]


def test_http_1_0_has_no_streams(world_database: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(standalone(world_database, tmp_path)).http.base_url
        connection = stack.enter_context(socket.create_connection((url.host, url.port)))
        connection.sendall(b"GET /animals HTTP/1.0\r\naccept: application/x-ndjson\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.0 426 ")
    assert b"Streams of rows need HTTP/1.1" in answer


async def test_a_client_that_takes_nothing_loses_its_transaction(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "TIMEOUT_SECONDS", 0.1)

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        if message.get("more_body"):
            await asyncio.Event().wait()

    scope = {
        "method": "GET",
        "path": "/rpc/wide",
        "query_string": b"lines=100",
        "headers": [(b"accept", b"application/x-ndjson")],
    }
    for _ in range(5):
        with pytest.raises(TimeoutError):
            await world.application(dict(scope), receive, send)
    assert len(await world.rows("/animals")) == 6
