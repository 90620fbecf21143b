"""A Hotelbeds of our own on loopback: signatures, gzip, availability, checkrates, both kinds of errors, and bad days.

Its `behaviour` is set by tests, or by hand with `PUT /control`.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from tests.fakes.hbx import hotels

LARGEST_SKEW = 300
QUOTA = b'<?xml version="1.0"?><h1>403 Developer Over Rate</h1>'


@dataclass
class Behaviour:
    """`mode` is one of well, slow, truncated, nonsense, quota, reset, overloaded, limited, refused, broken.

    `times` ends the mode after so many answers.
    """

    mode: str = "well"
    times: int | None = None
    retry_after: str = ""
    latency: float = 0.0
    raise_percent: int = 0
    sold_out: bool = False
    flipped: bool = False


@dataclass
class FakeHbx:
    key: str = "key"
    secret: str = "secret"
    behaviour: Behaviour = field(default_factory=Behaviour)
    calls: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line = (await reader.readline()).decode()
        if not line:
            return False
        method, path, _ = line.split(" ", 2)
        headers = {}
        while (header := (await reader.readline()).decode().strip()) != "":
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if path == "/control":
            known = {given.name for given in fields(Behaviour)}
            self.behaviour = Behaviour(**{n: v for n, v in json.loads(body or b"{}").items() if n in known})
            return await _send(writer, 200, b"{}", {})
        asked = json.loads(body or b"{}")
        self.calls.append((time.monotonic(), path, asked))
        if not self._signed(headers):
            return await _send(writer, 401, b'{"error":"Request signature verification failed"}', {})
        return await self._answer(writer, method, path, asked)

    async def _answer(  # noqa: C901, PLR0911 - a table of bad days
        self, writer: asyncio.StreamWriter, method: str, path: str, asked: dict[str, Any]
    ) -> bool:
        now, mode = self.behaviour, self.behaviour.mode
        if mode != "well" and now.times is not None:
            now.times -= 1
            if now.times <= 0:
                self.behaviour = Behaviour()
        await asyncio.sleep(now.latency)
        wish = {"Retry-After": now.retry_after} if now.retry_after else {}
        match mode:
            case "slow":
                await asyncio.sleep(60)
            case "reset":
                writer.transport.abort()
                return False
            case "overloaded":
                return await _send(writer, 503, b'{"error":{"code":"SERVICE_OVERLOAD-1","message":"later"}}', wish)
            case "limited":
                return await _send(writer, 429, b'{"error":"Rate limit"}', wish)
            case "refused":
                return await _send(writer, 403, b'{"error":"Access to this API has been disallowed"}', {})
            case "nonsense":
                return await _send(writer, 200, b'{"hotels": {', {})
            case "quota":
                quota = {"X-Mashery-Error-Code": "ERR_403_DEVELOPER_OVER_RATE", "Retry-After": "38452"}
                return await _send(writer, 403, QUOTA, quota, "text/xml")
            case "broken":
                return await _send(writer, 500, b'{"error":{"code":"SYSTEM_ERROR-1","message":"x"}}', {})
        status, body = hotels.answer(method, path, asked, now)
        packed = gzip.compress(json.dumps(body).encode())
        if mode == "truncated":
            packed = packed[:-20]
        return await _send(writer, status, packed, {"Content-Encoding": "gzip"})

    def _signed(self, headers: dict[str, str]) -> bool:
        now = int(time.time())
        signatures = {
            hashlib.sha256(f"{self.key}{self.secret}{now + skew}".encode()).hexdigest()
            for skew in range(-LARGEST_SKEW, LARGEST_SKEW + 1)
        }
        return headers.get("api-key") == self.key and headers.get("x-signature") in signatures


async def _send(
    writer: asyncio.StreamWriter, status: int, body: bytes, headers: dict[str, str], kind: str = "application/json"
) -> bool:
    lines = [f"HTTP/1.1 {status} Answer", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await writer.drain()
    return True


@asynccontextmanager
async def running(port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeHbx]:
    """The fake on loopback; `url` is where."""
    fake = FakeHbx()
    open_connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(fake.serve(reader, writer))
        open_connections.add(task)
        task.add_done_callback(open_connections.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls)
    fake.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        for task in open_connections:
            task.cancel()
        await asyncio.gather(*open_connections, return_exceptions=True)
