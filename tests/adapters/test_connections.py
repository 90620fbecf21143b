"""The free list: no connection is lost or shared, whoever is cancelled and whatever breaks."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest

from src.adapters.postgres.errors import TRANSLATED
from src.database.connections import Connections
from src.database.errors import PoolTimeout
from src.database.opened import SILENCE, Opened, limit_silence
from src.domain.errors import Unavailable
from src.logins import login_dsn
from tests.support.postgres import settings
from tests.support.processes import TIMEOUT
from tests.support.races import until


@pytest.fixture(params=["own_database", "tls_database"])
def database(request: pytest.FixtureRequest) -> str:
    dsn: str = request.getfixturevalue(request.param)
    return dsn


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Connections]:
    pool = Connections(database, 3, timeout=TIMEOUT)
    yield pool
    await pool.close()


async def use(pool: Connections, seconds: float = 0.0) -> int:
    async with pool.acquire() as connection:
        value = await connection.fetchval("select pg_sleep($1), pg_backend_pid()", seconds, column=1)
        return int(value)


@pytest.mark.parametrize(
    ("login", "limits"),
    [
        ("web_anon", ["8s", "4s", "15s"]),
        ("web_authenticated", ["8s", "4s", "15s"]),
        ("web_service", ["30s", "4s", "1min"]),
    ],
)
async def test_each_role_runs_and_waits_no_longer_than_its_limits(database: str, login: str, limits: list[str]) -> None:
    pool = Connections(login_dsn(settings(database), login), 1)
    async with pool.acquire() as connection:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        assert [await connection.fetchval(f"show {name}") for name in names] == limits
    await pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems know no such limit")
async def test_an_end_that_falls_silent_holds_no_connection(pool: Connections) -> None:
    async with pool.acquire() as connection:
        assert isinstance(connection, Opened)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as end:
        limit_silence(end)
        assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == SILENCE * 1000


async def test_a_connection_that_asyncpg_lost_track_of_is_closed_and_its_caller_told_to_come_again(
    pool: Connections,
) -> None:
    async with pool.acquire() as connection:
        lost = connection
    with pytest.raises(Unavailable), TRANSLATED:
        async with pool.acquire() as connection:
            raise asyncpg.InternalClientError
    assert lost.is_closed()
    assert await use(pool)


async def test_it_opens_no_more_than_its_size(pool: Connections) -> None:
    assert len(set(await asyncio.gather(*(use(pool, 0.01) for _ in range(60))))) == 3
    assert (pool.busy, pool.waiting) == (0, 0)


async def test_cancelled_and_failing_callers_lose_no_connection(pool: Connections) -> None:
    chance = random.Random(7)

    async def caller() -> None:
        async with pool.acquire() as connection:
            if chance.random() < 0.2:
                with pytest.raises(asyncpg.DivisionByZeroError):
                    await connection.fetchval("select 1 / 0")
            await connection.fetchval("select pg_sleep(0.001)")

    tasks = [asyncio.create_task(caller()) for _ in range(200)]
    for task in chance.sample(tasks, 60):
        await asyncio.sleep(0.001)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
    assert (pool.busy, pool.waiting) == (0, 0)
    assert len(set(await asyncio.gather(*(use(pool, 0.01) for _ in range(9))))) == 3


async def test_a_connection_that_the_server_ended_is_replaced(pool: Connections, admin: asyncpg.Connection) -> None:
    connections = [await pool.take() for _ in range(3)]
    pids = {connection.get_server_pid() for connection in connections}
    for connection in connections:
        pool.give_back(connection)
    await admin.fetch("select pg_terminate_backend(pid) from unnest($1::int[]) pid", list(pids))
    await until(lambda: all(connection.is_closed() for connection in connections))
    assert not pids & set(await asyncio.gather(*(use(pool, 0.01) for _ in range(3))))
    assert pool.busy == 0


async def test_connections_that_nobody_uses_are_closed(pool: Connections) -> None:
    pids = set(await asyncio.gather(*(use(pool, 0.01) for _ in range(3))))
    await pool.retire(lifetime=1000)
    kept = await use(pool)
    await pool.retire(lifetime=1000)
    again = set(await asyncio.gather(*(use(pool, 0.01) for _ in range(3))))
    assert pids & again == {kept}


async def test_connections_past_their_lifetime_are_closed_once_free(pool: Connections) -> None:
    first = await pool.take()
    await pool.retire(lifetime=0)
    assert not first.is_closed()
    pool.give_back(first)
    assert first.is_closed()
    second = await use(pool)
    await pool.retire(lifetime=0)
    assert await use(pool) != second
    assert pool.busy == 0


async def test_who_waits_too_long_is_told_so(database: str) -> None:
    pool = Connections(database, 1, timeout=0.1)
    async with pool.acquire():
        with pytest.raises(PoolTimeout, match="busy"):
            await use(pool)
    assert pool.timeouts == 1
    assert await use(pool)
    await pool.close()


async def test_an_unreachable_server_leaves_no_place_taken() -> None:
    pool = Connections("postgresql://postgres@127.0.0.1:9/none", 1, timeout=0.5)
    for _ in range(3):
        with pytest.raises(OSError):  # noqa: PT011 - the system's own words differ
            await pool.take()
    assert pool.busy == 0
