"""Reads on a standby that has replayed everything committed before the read began.

The primary tells its log position, and the standby is used once it has replayed that much. So every caller reads all
committed writes, and clients need no token for that. The primary only answers that one function call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import asyncpg

from src.database.connections import Connections
from src.database.errors import FAILED, DatabaseUnavailable, is_transient, refusal_of

log = logging.getLogger(__name__)

# Commits that were acknowledged are flushed, unless synchronous_commit is off; later ones do not matter.
REACHED = """
select case current_setting('synchronous_commit')
  when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_flush_lsn()
end::text
"""
REPLAYED = "select pg_is_in_recovery() and pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
# Seconds that a read waits for a standby that is slightly behind, and that a standby which is further behind, or away,
# is not used.
PAUSES = (0.0, 0.001, 0.004, 0.01)
REST = 2.0


class Standby:
    """One login role's connections to one or several standbys."""

    def __init__(
        self, primary: Connections, connections: Connections, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._primary = primary
        self._connections = connections
        self._clock = clock
        self._rests_until = 0.0

    @property
    def resting(self) -> bool:
        """Whether it was behind or away, and is not used for now."""
        return self._clock() < self._rests_until

    async def row(self, statement: str, *arguments: object) -> asyncpg.Record | None:
        """The statement's single row, or None when the primary has to be asked."""
        if self.resting:
            return None
        async with self._primary.acquire() as connection:
            position = await connection.fetchval(REACHED)
        try:
            async with self._connections.acquire() as connection:
                if await _has_replayed(connection, position):
                    return await connection.fetchrow(statement, *arguments)
            reason = "is behind"
        except (*FAILED, DatabaseUnavailable) as error:
            if isinstance(error, asyncpg.PostgresError) and not _is_of_the_standby(error):
                raise
            refusal = refusal_of(error)
            reason = f"fails ({type(error if refusal is None else refusal.reason).__name__})"
        self._rests_until = self._clock() + REST
        log.warning("the standby %s: the primary is read for %.0f s", reason, REST)
        return None

    async def close(self) -> None:
        await self._connections.close()


async def _has_replayed(connection: asyncpg.Connection[asyncpg.Record], position: str) -> bool:
    for pause in PAUSES:
        await asyncio.sleep(pause)
        # A separate statement, so that the read takes its snapshot afterwards.
        if await connection.fetchval(REPLAYED, position):
            return True
    return False


def _is_of_the_standby(error: asyncpg.PostgresError) -> bool:
    """Whether the primary may succeed: the standby ended, or cancelled the query to go on replaying."""
    return not isinstance(error, asyncpg.QueryCanceledError) and is_transient(error)
