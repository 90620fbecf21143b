"""Reads on a standby that sees all that was committed before the read was asked for.

The primary says how far its log reaches, the standby whether it has replayed that much: so every caller reads its own
writes and everybody else's, through whichever process or client they went, and nobody has to carry or remember
anything. What costs time, the reading itself, is the standby's; the primary answers one function call.
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

# What was answered to a client is flushed, unless the installation does without; the rest need not be waited for.
REACHED = """
select case current_setting('synchronous_commit')
  when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_flush_lsn()
end::text
"""
REPLAYED = "select pg_is_in_recovery() and pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
# Seconds: how long a read waits for a standby that is a moment behind (replication takes about a tenth of a
# millisecond), and how long a standby that is further behind, or away, is left alone.
PAUSES = (0.0, 0.001, 0.004, 0.01)
REST = 2.0


class Standby:
    """One login role's connections to a standby, or to several behind one address each."""

    def __init__(
        self, primary: Connections, connections: Connections, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._primary = primary
        self._connections = connections
        self._clock = clock
        self._rests_until = 0.0

    @property
    def resting(self) -> bool:
        """Whether it was behind or away a moment ago and is not asked."""
        return self._clock() < self._rests_until

    async def row(self, statement: str, *arguments: object) -> asyncpg.Record | None:
        """The statement's single row, or None when the standby cannot be asked: then the primary must be."""
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
        # A statement of its own: the reading one takes its snapshot after this.
        if await connection.fetchval(REPLAYED, position):
            return True
    return False


def _is_of_the_standby(error: asyncpg.PostgresError) -> bool:
    """Whether the primary may do better with a statement: the standby ended, or it was in the way of the replay."""
    return not isinstance(error, asyncpg.QueryCanceledError) and is_transient(error)
