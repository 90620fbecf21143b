"""A bare HTTP/1.1 server for fakes, because a fake must also be able to hang up instead of answering."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """A body of bytes goes out as it is, anything else as JSON.

    `hang_up` resets the connection instead; `trickle` is how many seconds pass between two bytes of the body.
    """

    status: int
    body: object
    headers: tuple[tuple[str, str], ...] = ()
    hang_up: bool = False
    trickle: float = 0


def deep(levels: int = 3000) -> bytes:
    """A JSON object with a field of so many lists, each in the one before it."""
    return b'{"deep":' + b"[" * levels + b"]" * levels + b"}"


Handler = Callable[[Request], Awaitable[Reply]]


@dataclass
class Door:
    """A fake behind a door. `shut`: calls come as far as the door. `held`: the work is done, the answer does not leave.

    Whoever comes to it knocks, and waits until it is opened.
    """

    handler: Handler
    shut: bool = False
    held: bool = False
    knocked: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: Request) -> Reply:
        reply = Reply(0, None, hang_up=True) if self.shut else await self.handler(request)
        if self.shut or self.held:
            self.knocked.set()
            await self.opened.wait()
        return reply


@asynccontextmanager
async def listening(handler: Handler, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a server on the loopback that answers with `handler`."""
    open_connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                reply = await handler(request)
                if reply.hang_up:
                    _reset(writer)
                    break
                await _write(writer, reply)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        open_connections.add(task)
        task.add_done_callback(open_connections.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls)
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in open_connections:
            task.cancel()
        await asyncio.gather(*open_connections, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Request | None:
    line = await reader.readline()
    if not line:
        return None
    method, target, _ = line.decode().split()
    headers: dict[str, str] = {}
    while (line := await reader.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return Request(method, parts.path, dict(parse_qsl(parts.query)), headers, body)


async def _write(writer: asyncio.StreamWriter, reply: Reply) -> None:
    body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **dict(reply.headers)}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {reply.status} X\r\n{head}\r\n".encode())
    if reply.trickle:
        for byte in body:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(reply.trickle)
    else:
        writer.write(body)
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """A peer that is gone sends RST, where an orderly end would send FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
