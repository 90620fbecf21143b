"""Quick reads of many callers over one connection, each sent behind the others without waiting for their answers.

Concurrent callers share a round trip, which saves both sides system calls. A statement waits for those before it, so
only statements that proved to be quick are sent this way. What the pipeline cannot answer is asked again on a
connection of a pool, which is safe because it only reads.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from src.database.background import Outage
from src.database.errors import TranslatedToUnavailable
from src.database.opened import attach
from src.database.pipelined import Answer, Pipelined

# The average seconds up to which a statement counts as quick. A pipeline runs on one process of the server, so slower
# statements are better spread over several connections.
QUICK = 0.001
# The average covers so many of the last runs. Longer ones are cut to MAX_TRIAL_SECONDS, because an answer is also late
# when this process is busy.
LAST_RUNS = 32
MAX_TRIAL_SECONDS = 4 * QUICK
# A statement that took less than MAX_TRIAL_SECONDS on a pool's connection is tried on the pipeline with this average,
# because on a busy server even quick ones wait for a processor.
ON_TRIAL = (QUICK / 2, 8)
# Statements whose average duration is kept.
CACHE_SIZE = 1024
UNKNOWN = (QUICK, 0)
# Statements in flight at a time; further ones go to other connections, and so to other processors of the server.
MAX_IN_FLIGHT = 128


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
        """A future of the single row of a read; None, now or later, when a pool has to be asked instead.

        The answer raises asyncpg.PostgresError.
        """
        if self._paces.get(statement, UNKNOWN)[0] >= QUICK:
            return None
        connection = self._connection
        if connection is None or connection.closed:
            self._open()
            return None
        if connection.stuck or connection.waiting >= MAX_IN_FLIGHT:
            return None
        return connection.send(statement, values)

    def observe(self, statement: str, seconds: float) -> None:
        """Update the average of a statement that ran on the pipeline."""
        pace, runs = self._paces.get(statement, UNKNOWN)
        runs = min(runs + 1, LAST_RUNS)
        self._record(statement, pace + (min(seconds, MAX_TRIAL_SECONDS) - pace) / runs, runs)

    def observe_pooled(self, statement: str, seconds: float) -> None:
        """Update the average of a statement that ran on a pool, unless it is known to be quick on the pipeline."""
        pace, runs = self._paces.get(statement, UNKNOWN)
        if runs == 0 and seconds < MAX_TRIAL_SECONDS:
            self._record(statement, *ON_TRIAL)
        elif runs and pace >= QUICK:
            self.observe(statement, seconds)

    @property
    def waiting(self) -> int:
        """How many statements are in flight, for metrics."""
        return self._connection.waiting if self._connection is not None else 0

    def close(self) -> None:
        """Answer None to everything in flight."""
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
            with TranslatedToUnavailable():
                opened = await attach(self._dsn, timeout=5, statement_cache_size=0)
            self._connection = Pipelined(opened, self.observe)
            self._outage.over()
        except Exception as error:  # noqa: BLE001 - nobody reads this task's result
            # Callers get the error from a pool.
            self._rests_until = asyncio.get_running_loop().time() + self._outage.failed(error)
        finally:
            self._opening = None
