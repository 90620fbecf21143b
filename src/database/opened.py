"""Connections of asyncpg, whose other end is the one meant and does not vanish unnoticed."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import asyncpg

from src.database.dsn import for_asyncpg
from src.database.errors import RefusedConnection

# Seconds after which an end that acknowledges nothing is taken to be gone. Without a limit Linux tries for a quarter of
# an hour to send, and waits for ever for an answer, so that a host that lost its power would hold every connection.
SILENCE = 20
KEEP_ALIVE_AFTER = 10
KEEP_ALIVE_EVERY = 5


class Opened(asyncpg.Connection):
    """Also shows what it reads from and writes to."""

    def __init__(self, protocol: Any, transport: asyncio.Transport, *rest: Any) -> None:  # noqa: ANN401 - asyncpg's own
        super().__init__(protocol, transport, *rest)
        self.transport = transport
        limit_silence(transport.get_extra_info("socket"))


async def connect(dsn: str, **options: Any) -> Opened:  # noqa: ANN401 - asyncpg's own
    """The one way to the database, so that every DSN is read alike. Raises ValueError for one that makes no sense.

    What the server says is for who runs a command; who connects on behalf of others does it by `attach`.
    """
    return await asyncpg.connect(for_asyncpg(dsn), connection_class=Opened, **options)


async def attach(dsn: str, **options: Any) -> Opened:  # noqa: ANN401 - asyncpg's own
    """Connect for callers, who are not told what the server says. Raises RefusedConnection for all that it does."""
    try:
        return await connect(dsn, **options)
    except asyncpg.PostgresError as error:
        raise RefusedConnection(error) from error


def limit_silence(connected: socket.socket) -> None:
    """Make a TCP connection break after SILENCE, whether something is to be sent or an answer awaited."""
    if connected.family == socket.AF_UNIX or not hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, KEEP_ALIVE_AFTER),
        (socket.TCP_KEEPINTVL, KEEP_ALIVE_EVERY),
        (socket.TCP_USER_TIMEOUT, SILENCE * 1000),
    ):
        connected.setsockopt(socket.IPPROTO_TCP, option, value)
