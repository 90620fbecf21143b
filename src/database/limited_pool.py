"""Limits how many connections of a pool expensive statements take, so that others find one."""

from __future__ import annotations

import asyncio

import asyncpg

from src.database.connections import AcquiredConnection, Connections
from src.database.errors import PoolTimeout


class LimitedPool:
    """At most `max_connections` of the connections of `pool` at once; PoolTimeout is raised after `timeout` seconds."""

    def __init__(self, pool: Connections, max_connections: int, *, timeout: float = 5.0) -> None:
        self._pool = pool
        self._semaphore = asyncio.Semaphore(max_connections)
        self._timeout = timeout

    def acquire(self) -> AcquiredConnection:
        """One connection of the pool for the block."""
        return AcquiredConnection(self)

    async def take(self) -> asyncpg.Connection:
        if self._semaphore.locked():
            await self._wait()
        else:
            await self._semaphore.acquire()
        try:
            return await self._pool.take()
        except BaseException:
            self._semaphore.release()
            raise

    def give_back(self, connection: asyncpg.Connection) -> None:
        self._semaphore.release()
        self._pool.give_back(connection)

    async def close(self) -> None:
        await self._pool.close()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._semaphore.acquire()
        except TimeoutError:
            message = "The service is busy"
            raise PoolTimeout(message) from None
