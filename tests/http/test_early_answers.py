"""Answers that come before the body was read reach whoever still sends it, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from src.edge.asgi import Message, Send
from src.edge.draining import Incoming, draining
from tests.conftest import ANON_KEY, CHECKOUT, SERVICE_KEY, TRAVELLER, token
from tests.support import npm
from tests.support.processes import TIMEOUT, ServerProcess, server

KEY = {"apikey": ANON_KEY}
SERVICE = {"apikey": SERVICE_KEY}
USER = {**KEY, "authorization": f"Bearer {token('authenticated', TRAVELLER)}"}
BAD = {"authorization": "Bearer x.y.z"}
# What is answered without the whole body: method, path, headers, status.
EARLY: Mapping[str, tuple[str, str, dict[str, str], int]] = {
    "no key": ("POST", "/functions/v1/bff-checkout", {}, 401),
    "no right": ("POST", "/functions/v1/permits-ops-approve", USER, 403),
    "another method": ("PUT", "/functions/v1/bff-checkout", KEY, 405),
    "no such function": ("POST", "/functions/v1/nothing", KEY, 404),
    "too large": ("POST", "/functions/v1/bff-checkout", KEY, 413),
    "rest, a bad token": ("POST", "/rest/v1/booking.itineraries", BAD, 401),
    "storage, no right": ("PUT", "/storage/v1/object/invoices/a.pdf", USER, 403),
    "storage, another method": ("PATCH", "/storage/v1/object/invoices/a.pdf", SERVICE, 405),
    "storage, no object": ("POST", "/storage/v1/nothing", KEY, 404),
    "the caller": ("POST", "/auth/v1/user", {}, 401),
    "an unknown path": ("POST", "/nothing", {}, 404),
    "health": ("POST", "/healthz", {}, 405),
    "metrics": ("PUT", "/metrics", {}, 405),
    "the document": ("POST", "/schema", {}, 405),
}
# Each body is larger than what a function takes, and comes in several writes.
NODE = """
const [, , base, cases] = process.argv
const SIZE = 3_000_000
const bodies = {
  form: () => {
    const form = new FormData()
    form.append('cacheControl', '3600')
    form.append('file', new Blob([new Uint8Array(SIZE)]), 'a.bin')
    return { body: form }
  },
  stream: () => {
    let left = 30
    const pull = controller => left-- ? controller.enqueue(new Uint8Array(SIZE / 30)) : controller.close()
    return { body: new ReadableStream({ pull }), duplex: 'half' }
  },
  'slow stream': () => {
    let left = 30
    const pull = async controller => {
      await new Promise(done => setTimeout(done, 2))
      left-- ? controller.enqueue(new Uint8Array(SIZE / 30)) : controller.close()
    }
    return { body: new ReadableStream({ pull }), duplex: 'half' }
  },
  text: () => ({ body: 'x'.repeat(SIZE) }),
}
const seen = {}
for (const [name, [method, path, headers]] of Object.entries(JSON.parse(cases)))
  for (const [kind, body] of Object.entries(bodies)) {
    const statuses = (seen[`${name}, ${kind}`] = [])
    for (let time = 0; time < 8; time++)
      try {
        const answer = await fetch(base + path, { method, headers, ...body() })
        await answer.text()
        statuses.push(answer.status)
      } catch (error) {
        statuses.push(String(error.cause?.code ?? error))
      }
  }
console.log(JSON.stringify(seen))
"""


@pytest.fixture
def running(database: str, tmp_path: Path) -> Iterator[ServerProcess]:
    with server(database, tmp_path) as started:
        yield started


def wanted(status: int) -> list[int]:
    return [status] * 8


def test_node_sees_every_early_answer(running: ServerProcess, tmp_path: Path) -> None:
    script = tmp_path / "fetch.mjs"
    script.write_text(NODE)
    cases = json.dumps({name: case[:3] for name, case in EARLY.items()})
    command = [npm.node(), str(script), running.address, cases]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, list[int | str]] = json.loads(done.stdout)
    lost = {name: found for name, found in seen.items() if found != wanted(EARLY[name.rpartition(", ")[0]][3])}
    assert not lost
    assert len(seen) == 4 * len(EARLY)


@pytest.mark.parametrize("name", EARLY)
async def test_a_client_that_sends_all_before_it_reads_gets_its_answer_and_may_ask_again(
    running: ServerProcess, name: str
) -> None:
    method, path, headers, status = EARLY[name]
    async with Raw.to(running) as raw:
        await raw.head(method, path, headers, 3_000_000)
        for _ in range(30):
            await raw.write(b"x" * 100_000)
            await asyncio.sleep(0.001)
        assert await raw.status() == status
        await raw.head("GET", "/healthz", {}, 0)
        assert await raw.status() == 200


async def test_the_answer_does_not_wait_for_the_body(running: ServerProcess) -> None:
    async with Raw.to(running) as raw:
        began = time.monotonic()
        await raw.head("POST", "/functions/v1/bff-checkout", {}, 3_000_000)
        await raw.write(b"x" * 100)
        assert await raw.status() == 401
        assert time.monotonic() - began < 2


def test_httpx_and_curl_see_it(running: ServerProcess, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * 3_000_000)
    url = f"{running.address}/functions/v1/bff-checkout"
    for _ in range(8):
        assert httpx.post(url, files={"file": large.read_bytes()}).status_code == 401
        assert httpx.post(url, content=(b"x" * 10_000 for _ in range(300))).status_code == 401
        for options in (["--form", f"file=@{large}"], ["--data-binary", f"@{large}"], ["--upload-file", str(large)]):
            curl = ["curl", "--silent", "--show-error", "--output", "/dev/null", "--write-out", "%{http_code}"]
            done = subprocess.run([*curl, "-X", "POST", *options, url], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout) == (0, "401"), done.stderr


async def test_a_client_may_wait_to_be_asked_for_its_body(running: ServerProcess) -> None:
    body = json.dumps(CHECKOUT).encode()
    expecting = {"expect": "100-continue", "content-type": "application/json"}
    async with Raw.to(running) as raw:
        await raw.head("POST", "/functions/v1/bff-checkout", {**KEY, **expecting}, len(body))
        assert await raw.status() == 100
        await raw.write(body)
        assert await raw.status() == 200
    async with Raw.to(running) as raw:
        await raw.head("POST", "/functions/v1/bff-checkout", expecting, len(body))
        assert await raw.status() == 401  # and is not asked


@pytest.mark.parametrize(
    ("path", "status"), [("/nothing", 404), ("/functions/v1/bff-checkout", 401), ("/rest/v1/rpc/start_checkout", 401)]
)
async def test_who_never_ends_a_body_is_hung_up_on(running: ServerProcess, path: str, status: int) -> None:
    async def seconds() -> float:
        async with Raw.to(running) as raw:
            began = time.monotonic()
            await raw.head("POST", path, {}, 3_000_000)
            await raw.write(b"x" * 100)
            assert await raw.status() == status
            with contextlib.suppress(ConnectionError):
                assert await raw.reader.read() == b""
            return time.monotonic() - began

    assert max(await asyncio.gather(*(seconds() for _ in range(20)))) < 9


async def unsent(_message: object) -> None:
    raise AssertionError


async def test_no_more_is_dropped_than_anybody_may_send() -> None:
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1000
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    await Incoming(receive, unsent).drain(most_bytes=50_000)
    assert taken == 50_000


async def test_an_answer_in_pieces_waits_for_the_body_for_a_while() -> None:
    happened: list[str] = []

    async def application(_scope: object, _receive: object, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for more in (True, True, False):
            await send({"type": "http.response.body", "body": b"x", "more_body": more})

    async def receive() -> dict[str, Any]:
        happened.append("received")
        return {"type": "http.request", "body": b"x", "more_body": len(happened) < 4}

    async def send(message: Message) -> None:
        happened.append(message["type"])

    await draining(application)({"type": "http", "headers": [(b"content-length", b"3")]}, receive, send)
    assert happened == ["http.response.start", *["received"] * 3, *["http.response.body"] * 3]


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"0")]])
async def test_a_request_without_a_body_is_not_waited_for(headers: list[tuple[bytes, bytes]]) -> None:
    async def application(_scope: object, given: object, _send: object) -> None:
        assert given is receive

    async def receive() -> dict[str, Any]:
        raise AssertionError

    await draining(application)({"type": "http", "headers": headers}, receive, unsent)


class Raw:
    """A connection without a client's cleverness."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self._writer = reader, writer

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, running: ServerProcess) -> Any:
        async with asyncio.timeout(TIMEOUT):
            opened = cls(*await asyncio.open_connection("127.0.0.1", urlsplit(running.address).port))
            try:
                yield opened
            finally:
                opened._writer.close()

    async def head(self, method: str, path: str, headers: Mapping[str, str], length: int) -> None:
        lines = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {length}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await self.write("\r\n".join([*lines, "", ""]).encode())

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def status(self) -> int:
        """Of the next answer, whose body is read as well."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await self.reader.readexactly(int(line.partition(b":")[2]))
        return int(head.split(b" ", 2)[1])


async def test_crumbs_are_not_dropped_for_ever() -> None:
    events = 0

    async def receive() -> dict[str, Any]:
        nonlocal events
        events += 1
        return {"type": "http.request", "body": b"x", "more_body": True}

    await Incoming(receive, unsent).drain()
    assert events < 2_100
