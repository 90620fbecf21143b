"""Connects asyncpg to the right server, and notices when it vanishes."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import asyncpg

from src.database.dsn import for_asyncpg
from src.database.errors import RefusedConnection

# Seconds after which a silent peer counts as gone. Linux retries for much longer, and waits forever for an answer.
SILENCE = 20
KEEP_ALIVE_AFTER = 10
KEEP_ALIVE_EVERY = 5


class Opened(asyncpg.Connection):
    """A connection that exposes its transport."""

    def __init__(self, protocol: Any, transport: asyncio.Transport, *rest: Any) -> None:  # noqa: ANN401 - asyncpg's own
        super().__init__(protocol, transport, *rest)
        self.transport = transport
        limit_silence(transport.get_extra_info("socket"))


async def connect(dsn: str, **options: Any) -> Opened:  # noqa: ANN401 - asyncpg's own
    """The one function that connects, so that every DSN is parsed alike. Raises ValueError for an invalid one.

    Errors hold the server's words, for users of commands; `attach` hides them from callers.
    """
    return await asyncpg.connect(for_asyncpg(dsn), connection_class=Opened, **options)


async def attach(dsn: str, **options: Any) -> Opened:  # noqa: ANN401 - asyncpg's own
    """Connect for callers, who do not see the server's words. Raises RefusedConnection."""
    try:
        return await connect(dsn, **options)
    except asyncpg.PostgresError as error:
        raise RefusedConnection(error) from error


def limit_silence(connected: socket.socket) -> None:
    """Break a TCP connection after SILENCE, while sending and while waiting."""
    if connected.family == socket.AF_UNIX or not hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, KEEP_ALIVE_AFTER),
        (socket.TCP_KEEPINTVL, KEEP_ALIVE_EVERY),
        (socket.TCP_USER_TIMEOUT, SILENCE * 1000),
    ):
        connected.setsockopt(socket.IPPROTO_TCP, option, value)
