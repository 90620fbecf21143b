"""Races and crashes that always happen: the second caller comes, or the server dies, while a transaction is open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from multiprocessing.process import BaseProcess
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support.processes import TIMEOUT, ServerProcess


async def until(holds: Callable[[], object]) -> None:
    """Wait until it holds: what it gives, or what that gives when it is awaited, is true."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            found = holds()
            if await found if isawaitable(found) else found:
                return
            await asyncio.sleep(0.01)


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


async def blocked(admin: asyncpg.Connection) -> int:
    """The database session that waits for the administrator's lock."""
    query = "select pid from pg_locks where not granted and pg_backend_pid() = any(pg_blocking_pids(pid))"
    async with asyncio.timeout(TIMEOUT):
        while (found := await admin.fetchval(query)) is None:
            await asyncio.sleep(0.01)
    return int(found)


async def killed_waiting(dying: ServerProcess | BaseProcess, admin: asyncpg.Connection) -> None:
    """kill -9 once the process's session waits for the administrator, whose lock outlives it: it commits nothing."""
    session = await blocked(admin)
    dying.kill()
    assert await admin.fetchval("select pg_terminate_backend($1, 5000)", session)


async def killed(running: ServerProcess, admin: asyncpg.Connection, request: Awaitable[httpx.Response]) -> None:
    """Send the request and kill -9 the server as its session waits for the administrator."""
    asking = asyncio.ensure_future(request)
    await killed_waiting(running, admin)
    with pytest.raises(httpx.TransportError):
        await asking


async def post(running: ServerProcess, function: str, headers: dict[str, str], **body: object) -> httpx.Response:
    """One request to a server that may die under it."""
    async with httpx.AsyncClient(base_url=running.address, timeout=TIMEOUT) as client:
        return await client.post(f"/functions/v1/{function}", json=body, headers=headers)
