"""Races that always happen: the second caller comes while the first one's transaction is still open."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import asyncpg


async def raced(
    first: asyncpg.Connection,
    one: Coroutine[Any, Any, object],
    second: asyncpg.Connection,
    other: Coroutine[Any, Any, object],
) -> object:
    """The outcome of `other` on `second`, value or exception; `one` on `first` commits only once `other` waits for it.

    An `other` that does not wait at all runs to its end first.
    """
    blocked = "select cardinality(pg_blocking_pids($1)) > 0"
    async with first.transaction():
        await one
        late = asyncio.create_task(other)
        while not late.done() and not await first.fetchval(blocked, second.get_server_pid()):
            pass
    return (await asyncio.gather(late, return_exceptions=True))[0]


def rule_of(outcome: object) -> object:
    """The name of the rule that a statement broke."""
    assert isinstance(outcome, asyncpg.PostgresError), outcome
    return outcome.as_dict()["constraint_name"]
