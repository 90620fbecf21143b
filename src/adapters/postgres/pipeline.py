"""Quick reads of many callers over few connections, each sent behind the others without waiting for their answers.

A round trip is then shared by all who ask at the same time, which saves both sides most of their waking up and reading.
Whoever comes behind a slow statement waits for it, so only statements that proved to be quick are sent this way. What
cannot be answered here is to be asked in the ordinary way, as reads may be asked twice.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import asyncpg

from src.adapters.postgres.connections import FAILED
from src.adapters.postgres.pipelined import Opened, Pipelined, Row

# Seconds that a quick statement takes on average, and how many of its last runs count. What takes longer gains little
# and is better shared among the processors of the server.
QUICK = 0.003
LAST_RUNS = 8
# Statements whose pace is remembered.
REMEMBERED = 1024
# Statements on their way on one connection before the next one is used, and before none is.
ENOUGH = 16
MOST = 64
# Seconds between attempts to connect.
REST = 1.0


class Pipeline:
    """At most `size` connections to `dsn`, opened when those there are have enough to do."""

    def __init__(self, dsn: str, size: int = 2) -> None:
        self._dsn = dsn
        self._size = size
        self._connections: list[Pipelined] = []
        self._opening: asyncio.Task[None] | None = None
        self._rests_until = 0.0
        self._paces: OrderedDict[str, float] = OrderedDict()

    async def row(self, statement: str, values: Sequence[object]) -> Row | None:
        """The single row of a read as texts; None when it has to be asked in the ordinary way.

        Raises asyncpg.PostgresError.
        """
        if self._paces.get(statement, QUICK) >= QUICK:
            return None
        connection = self._usable()
        if connection is None:
            return None
        texts = [value for value in values if value is None or isinstance(value, str | int)]
        if len(texts) < len(values):
            return None
        try:
            answer = connection.send(statement, texts)
        except UnicodeEncodeError:
            return None
        return await answer

    def observe(self, statement: str, seconds: float) -> None:
        """Remember how long a statement took, here or elsewhere; one that was never heard of is not sent."""
        pace = self._paces.get(statement)
        if pace is None and len(self._paces) == REMEMBERED:
            self._paces.popitem(last=False)
        self._paces[statement] = seconds if pace is None else pace + (seconds - pace) / LAST_RUNS

    @property
    def waiting(self) -> int:
        """How many statements were sent and not answered yet, for metrics."""
        return sum(connection.waiting for connection in self._connections)

    def close(self) -> None:
        """What still waits is to be asked in the ordinary way."""
        if self._opening is not None:
            self._opening.cancel()
        for connection in self._connections:
            connection.close()

    def _usable(self) -> Pipelined | None:
        """The first connection that has not enough to do: the fewer are busy, the less often anybody is woken."""
        shortest = None
        for connection in self._connections:
            if connection.closed or connection.stuck:
                continue
            if connection.waiting < ENOUGH:
                return connection
            if shortest is None or connection.waiting < shortest.waiting:
                shortest = connection
        self._grow()
        return shortest if shortest is not None and shortest.waiting < MOST else None

    def _grow(self) -> None:
        """Open another connection in the background if there may be one."""
        if self._opening is None:
            self._connections = [connection for connection in self._connections if not connection.closed]
            loop = asyncio.get_running_loop()
            if len(self._connections) < self._size and loop.time() > self._rests_until:
                self._opening = loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            opened = await asyncpg.connect(self._dsn, timeout=5, connection_class=Opened, statement_cache_size=0)
            self._connections.append(Pipelined(opened, self.observe))
        except FAILED:
            # Whoever asks in the ordinary way is told.
            self._rests_until = asyncio.get_running_loop().time() + REST
        finally:
            self._opening = None
