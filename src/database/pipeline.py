"""Quick reads of many callers over one connection, each sent behind the others without waiting for their answers.

A round trip is then shared by all who ask at the same time, which saves both sides most of their waking up and reading.
Whoever comes behind a slow statement waits for it, so only statements that proved to be quick are sent this way. What
cannot be answered here is to be asked in the ordinary way, as reads may be asked twice.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from src.database.background import Outage
from src.database.errors import Translated
from src.database.opened import attach
from src.database.pipelined import Answer, Pipelined

# Seconds that a quick statement takes on average. What takes longer gains little and is better shared among the
# processors of the server: a page of 1.6 ms kept one of two busy, 631 a second, and 950 in the ordinary way.
QUICK = 0.001
# How many of the last runs make the average, and what longer ones count as: this process is often busy with others when
# the first of several answers comes, and that does not make a statement slow.
LAST_RUNS = 32
LONGEST = 4 * QUICK
# What took less than LONGEST elsewhere, where others make it wait for processors, is tried here as if it had been quick
# before, so many times: one of 0.2 ms takes 1.1 on a busy server and would never be sent.
ON_TRIAL = (QUICK / 2, 8)
# Statements whose average duration is kept.
CACHE_SIZE = 1024
UNKNOWN = (QUICK, 0)
# Statements on their way at a time; more are for other processors of the server. A second line does not pay before:
# where processors are few its process is scheduled so late that one of a hundred answers takes five times as long.
MOST = 128


class Pipeline:
    """One connection to `dsn`, opened when it is first needed and again when it was lost."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Pipelined | None = None
        self._opening: asyncio.Task[None] | None = None
        self._outage = Outage("connecting for quick reads")
        self._rests_until = 0.0
        # Seconds on average, of how many runs.
        self._paces: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def ask(self, statement: str, values: Sequence[object]) -> Answer | None:
        """The single row of a read, to be awaited; None, now or then, when it has to be asked in the ordinary way.

        The answer raises asyncpg.PostgresError.
        """
        if self._paces.get(statement, UNKNOWN)[0] >= QUICK:
            return None
        connection = self._connection
        if connection is None or connection.closed:
            self._open()
            return None
        if connection.stuck or connection.waiting >= MOST:
            return None
        return connection.send(statement, values)

    def observe(self, statement: str, seconds: float) -> None:
        """Remember how long a statement took; one that was never heard of is not sent."""
        pace, runs = self._paces.get(statement, UNKNOWN)
        runs = min(runs + 1, LAST_RUNS)
        self._record(statement, pace + (min(seconds, LONGEST) - pace) / runs, runs)

    def learn(self, statement: str, seconds: float) -> None:
        """Remember how long a statement took elsewhere, unless it is quick here: there it also waits for processors."""
        pace, runs = self._paces.get(statement, UNKNOWN)
        if runs == 0 and seconds < LONGEST:
            self._record(statement, *ON_TRIAL)
        elif runs and pace >= QUICK:
            self.observe(statement, seconds)

    @property
    def waiting(self) -> int:
        """How many statements were sent and not answered yet, for metrics."""
        return self._connection.waiting if self._connection is not None else 0

    def close(self) -> None:
        """What still waits is to be asked in the ordinary way."""
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.close()

    def _record(self, statement: str, pace: float, runs: int) -> None:
        self._paces[statement] = pace, runs
        if len(self._paces) > CACHE_SIZE:
            self._paces.popitem(last=False)

    def _open(self) -> None:
        """Connect in the background."""
        loop = asyncio.get_running_loop()
        if self._opening is None and loop.time() > self._rests_until:
            self._opening = loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            with Translated():
                opened = await attach(self._dsn, timeout=5, statement_cache_size=0)
            self._connection = Pipelined(opened, self.observe)
            self._outage.over()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end in a task that nobody asks
            # Whoever asks in the ordinary way is told.
            self._rests_until = asyncio.get_running_loop().time() + self._outage.failed(error)
        finally:
            self._opening = None
