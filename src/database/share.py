"""Limits how many connections of a pool expensive statements take, so that others find one."""

from __future__ import annotations

import asyncio

import asyncpg

from src.database.connections import Connections, Lease
from src.database.errors import PoolTimeout


class Share:
    """At most `max_connections` of the connections of `pool` at once; PoolTimeout is raised after `timeout` seconds."""

    def __init__(self, pool: Connections, max_connections: int, *, timeout: float = 5.0) -> None:
        self._pool = pool
        self._places = asyncio.Semaphore(max_connections)
        self._timeout = timeout

    def acquire(self) -> Lease:
        """One connection for the length of the block, as the pool gives it."""
        return Lease(self)

    async def take(self) -> asyncpg.Connection:
        if self._places.locked():
            await self._wait()
        else:
            await self._places.acquire()
        try:
            return await self._pool.take()
        except BaseException:
            self._places.release()
            raise

    def give_back(self, connection: asyncpg.Connection) -> None:
        self._places.release()
        self._pool.give_back(connection)

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._places.acquire()
        except TimeoutError:
            message = "The service is busy"
            raise PoolTimeout(message) from None
