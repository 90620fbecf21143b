"""A free list of connections for one login role, handed straight from the one who returns to the one who waits.

asyncpg's own pool costs a reset query and a fourfold tail per use. Nothing has to be reset here: every setting of a
request ends with its statement, and a login role cannot become another one.
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
    from src.database.share import Share

# Seconds that the server gets to close a connection.
CLOSING = 2.0
# Statements that a connection and its server process keep prepared, and bytes of the largest: clients of /rest/v1 can
# make any number, and what the server keeps of one is many times its text.
STATEMENTS = 256
MAX_STATEMENT_SIZE = 8 * 1024


class Source(Protocol):
    """Where connections come from."""

    def acquire(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """One connection for the length of the block."""

    async def close(self) -> None:
        """Let go of all of them."""


class Connections:
    """At most `size` connections to `dsn`, opened when first needed and replaced when they close.

    `timeout` is how many seconds a caller waits for a free one before PoolTimeout is raised.
    """

    def __init__(self, dsn: str, size: int, *, timeout: float = 5.0, pooler: bool = False) -> None:
        self.dsn = dsn
        self._size = size
        self._timeout = timeout
        self._pooler = pooler
        self._opened = 0
        self._free: list[asyncpg.Connection] = []
        # Who waits, until when.
        self._waiting: deque[tuple[asyncio.Future[asyncpg.Connection | None], float]] = deque()
        self._looking = False
        self._closing = False
        # How many callers waited in vain, for metrics.
        self.timeouts = 0
        self._opened_at: WeakKeyDictionary[asyncpg.Connection, float] = WeakKeyDictionary()
        # In use, to be closed when given back.
        self._too_old: set[asyncpg.Connection] = set()
        # Free connections are a stack, so this many at its bottom were not used since `retire` ran last.
        self._unused = 0
        self._refused = Outage(f"connecting as {Dsn.of(dsn).user}")

    def acquire(self) -> Lease:
        """One connection for the length of the block; a cancelled or broken one is closed, not reused."""
        return Lease(self)

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
        # One timer for all: under load every caller waits, and to set and clear a timer costs as much as a query.
        if not self._looking:
            self._looking = True
            loop.call_later(self._timeout, self._look, loop)
        try:
            connection_or_place = await handed
        except asyncio.CancelledError:
            # The hand-off may have happened in the same moment: pass the connection on instead of losing it.
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
        """Close every free connection; those in use close when they come back."""
        self._closing = True
        free, self._free = self._free, []
        for connection in free:
            await connection.close(timeout=CLOSING)

    async def retire(self, lifetime: float) -> None:
        """Close what nobody used since the last call, and once free, what is older than `lifetime` seconds."""
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
        """How many connections are in use, for metrics."""
        return self._opened - len(self._free)

    @property
    def waiting(self) -> int:
        """How many callers wait for a connection, for metrics."""
        return len(self._waiting)

    def _pass_on(self, connection: asyncpg.Connection | None) -> None:
        """Hand a connection, or (None) the right to open one, to the first caller who still waits."""
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
        """Tell those whose time is over, and look again when the next one's will be."""
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
        """A connection like the pool's own, but none of them. Raises RefusedConnection."""
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


class Reserve:
    """A connection of its own for each use, for what must not wait until callers have left one in `pool`.

    It goes to `dsn`, which is the pool's own unless there is a pooler in between. Where the server gives no more
    connections, it is one of the pool's after all.
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


class Lease:
    """What `acquire` gives: a class, since a generator costs three times as much."""

    __slots__ = ("_connection", "_connections")

    def __init__(self, connections: Connections | Share) -> None:
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
