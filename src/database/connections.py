"""A pool of connections for one login role. A returned connection goes to the first waiting caller.

asyncpg's pool runs a reset query at each release. None is needed here: settings end with their statement, and a login
role cannot become another one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

import asyncpg

from src.database.background import Outage
from src.database.dsn import Dsn
from src.database.errors import BROKEN, FAILED, DatabaseUnavailable, PoolTimeout, refusal_of
from src.database.opened import attach

if TYPE_CHECKING:
    from src.database.limited_pool import LimitedPool

# Seconds for closing a connection.
CLOSING = 2.0
# Bounds of the prepared statements of a connection, because clients of /rest/v1 can make any number of them.
STATEMENTS = 256
MAX_STATEMENT_SIZE = 8 * 1024


class Source(Protocol):
    """A source of connections."""

    def acquire(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """One connection for the block."""

    async def close(self) -> None:
        """Let go of all of them."""


class Connections:
    """At most `size` connections to `dsn`, opened on demand and replaced when they close.

    `timeout` is how many seconds a caller waits before PoolTimeout is raised.
    """

    def __init__(self, dsn: str, size: int, *, timeout: float = 5.0, pooler: bool = False) -> None:
        self.dsn = dsn
        self._size = size
        self._timeout = timeout
        self._pooler = pooler
        self._opened = 0
        self._free: list[asyncpg.Connection] = []
        # Waiting callers with their deadlines.
        self._waiting: deque[tuple[asyncio.Future[asyncpg.Connection | None], float]] = deque()
        self._looking = False
        self._closing = False
        # Timed-out waits, for metrics.
        self.timeouts = 0
        self._opened_at: WeakKeyDictionary[asyncpg.Connection, float] = WeakKeyDictionary()
        # Connections in use that are closed on return.
        self._too_old: set[asyncpg.Connection] = set()
        # Free connections are a stack; this many at its bottom are unused since the last `retire`.
        self._unused = 0
        self._refused = Outage(f"connecting as {Dsn.of(dsn).user}")

    def acquire(self) -> AcquiredConnection:
        """One connection for the block; a cancelled or broken one is closed."""
        return AcquiredConnection(self)

    async def take(self) -> asyncpg.Connection:
        while self._free:
            connection = self._free.pop()
            self._unused = min(self._unused, len(self._free))
            if not connection.is_closed():
                return connection
            self._opened -= 1
        if self._opened < self._size:
            return await self._open()
        loop = asyncio.get_running_loop()
        handed: asyncio.Future[asyncpg.Connection | None] = loop.create_future()
        self._waiting.append((handed, loop.time() + self._timeout))
        # One timer serves all waiters, because a timer for each is expensive under load.
        if not self._looking:
            self._looking = True
            loop.call_later(self._timeout, self._look, loop)
        try:
            connection_or_place = await handed
        except asyncio.CancelledError:
            # The connection may have been handed over already: pass it on.
            if handed.done() and not handed.cancelled() and handed.exception() is None:
                self._pass_on(handed.result())
            raise
        except PoolTimeout:
            self.timeouts += 1
            raise
        return connection_or_place if connection_or_place is not None else await self._open(reserved=True)

    def give_back(self, connection: asyncpg.Connection) -> None:
        if connection.is_closed() or self._closing or connection in self._too_old:
            self._too_old.discard(connection)
            connection.terminate()
            self._pass_on(None)
        else:
            self._pass_on(connection)

    async def close(self) -> None:
        """Close free connections now, and others when they are returned."""
        self._closing = True
        free, self._free = self._free, []
        for connection in free:
            await connection.close(timeout=CLOSING)

    async def retire(self, lifetime: float) -> None:
        """Close connections unused since the last call, and free ones older than `lifetime` seconds."""
        now = asyncio.get_running_loop().time()
        old = {connection for connection, opened in self._opened_at.items() if now - opened > lifetime}
        kept = [connection for connection in self._free[self._unused :] if connection not in old]
        closing = [connection for connection in self._free if connection not in kept]
        self._too_old = old.difference(closing)
        self._opened -= len(closing)
        self._free = kept
        self._unused = len(kept)
        for connection in closing:
            await connection.close(timeout=CLOSING)

    @property
    def busy(self) -> int:
        """Connections in use, for metrics."""
        return self._opened - len(self._free)

    @property
    def waiting(self) -> int:
        """Waiting callers, for metrics."""
        return len(self._waiting)

    def _pass_on(self, connection: asyncpg.Connection | None) -> None:
        """Give a connection, or (None) the right to open one, to the first waiting caller."""
        while self._waiting:
            handed, _ = self._waiting.popleft()
            if not handed.done():
                handed.set_result(connection)
                return
        if connection is None:
            self._opened -= 1
        else:
            self._free.append(connection)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Time out overdue waiters and schedule the next look."""
        while self._waiting:
            handed, end = self._waiting[0]
            if end > loop.time() and not handed.done():
                loop.call_at(end, self._look, loop)
                return
            self._waiting.popleft()
            if not handed.done():
                message = "The service is busy"
                handed.set_exception(PoolTimeout(message))
        self._looking = False

    async def _open(self, *, reserved: bool = False) -> asyncpg.Connection:
        if not reserved:
            self._opened += 1
        try:
            connection = await self.connect(self.dsn)
        except BaseException:
            self._pass_on(None)
            raise
        self._opened_at[connection] = asyncio.get_running_loop().time()
        return connection

    async def connect(self, dsn: str) -> asyncpg.Connection:
        """A new connection outside of the pool. Raises RefusedConnection."""
        try:
            connection = await attach(
                dsn,
                timeout=self._timeout,
                statement_cache_size=0 if self._pooler else STATEMENTS,
                max_cacheable_statement_size=MAX_STATEMENT_SIZE,
                max_cached_statement_lifetime=0,
            )
        except DatabaseUnavailable as error:
            if refusal_of(error):
                self._refused.failed(error)
            raise
        self._refused.over()
        return connection


class DedicatedConnections:
    """A connection of its own for each use, for work that must not wait for callers' connections.

    It connects to `dsn`, which differs from the pool's behind a pooler. When the server refuses more connections, it
    takes one of the pool.
    """

    def __init__(self, pool: Connections, dsn: str | None = None) -> None:
        self._pool = pool
        self._dsn = dsn or pool.dsn

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        """Raises what the pool raises."""
        try:
            connection = await self._pool.connect(self._dsn)
        except (*FAILED, DatabaseUnavailable):
            connection = None
        if connection is None:
            async with self._pool.acquire() as connection:
                yield connection
            return
        try:
            yield connection
            await connection.close(timeout=CLOSING)
        finally:
            connection.terminate()

    async def close(self) -> None:
        """Nothing is kept."""


class AcquiredConnection:
    """An async context manager; a class, as generators are slower."""

    __slots__ = ("_connection", "_connections")

    def __init__(self, connections: Connections | LimitedPool) -> None:
        self._connections = connections

    async def __aenter__(self) -> asyncpg.Connection:
        self._connection = await self._connections.take()
        return self._connection

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if isinstance(error, (asyncio.CancelledError, *BROKEN)):
            self._connection.terminate()
        self._connections.give_back(self._connection)
