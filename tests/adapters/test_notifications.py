"""What a process knows of the database becomes new again after every change, whatever fails on the way."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest

from src.database.connections import Connections, DedicatedConnections
from src.database.errors import PoolTimeout
from src.database.notifications import Notifications
from src.database.refresher import GRACE, Refresher
from tests.support.processes import TIMEOUT
from tests.support.races import until

OTHERS = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
LISTENERS = "select pid from pg_stat_activity where datname = current_database() and query ~* 'listen'"
KILL = f"select pg_terminate_backend(pid) from ({LISTENERS} and pid <> pg_backend_pid()) found"


@pytest.fixture(params=["own_database", "tls_database"])
def database(request: pytest.FixtureRequest) -> str:
    dsn: str = request.getfixturevalue(request.param)
    return dsn


@asynccontextmanager
async def listening(dsn: str, **channels: Refresher) -> AsyncIterator[Notifications]:
    notifications = Notifications(dsn, channels, pulse=0.05)
    await notifications.start()
    await until(lambda: notifications.listening)
    try:
        yield notifications
    finally:
        await notifications.stop()


async def nothing() -> None:
    """Something is read, and well."""


async def test_one_channels_news_do_not_hide_that_anothers_are_still_read(
    database: str, admin: asyncpg.Connection
) -> None:
    reading, read, heard = asyncio.Event(), asyncio.Event(), asyncio.Event()
    read.set()

    async def slow() -> None:
        reading.set()
        await read.wait()

    async def quick() -> None:
        heard.set()

    async with listening(database, slow=Refresher("slow", slow), quick=Refresher("quick", quick)) as notifications:
        await until(lambda: notifications.current("slow") and notifications.current("quick"))
        for event in (reading, read, heard):
            event.clear()
        await admin.execute("notify slow")
        await asyncio.wait_for(reading.wait(), TIMEOUT)
        await admin.execute("notify quick")
        await asyncio.wait_for(heard.wait(), TIMEOUT)
        await until(lambda: notifications.current("quick"))
        assert not notifications.current("slow")
        read.set()
        await until(lambda: notifications.current("slow"))
    assert not notifications.current("slow")


FAILURES = [
    asyncpg.LockNotAvailableError("x"),
    asyncpg.QueryCanceledError("x"),
    asyncpg.InsufficientPrivilegeError("x"),
    asyncpg.InternalClientError("x"),
    asyncpg.InterfaceError("x"),
    ConnectionResetError(),
    TimeoutError(),
    PoolTimeout("x"),
    KeyError("x"),
    RecursionError(),
    asyncio.CancelledError(),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
async def test_whatever_fails_it_is_stale_until_a_refresh_succeeds(
    database: str, admin: asyncpg.Connection, failure: BaseException
) -> None:
    tries, failing = 0, False

    async def refresh() -> None:
        nonlocal tries
        tries += 1
        if failing:
            raise failure

    refresher = Refresher("news", refresh)
    async with listening(database, news=refresher) as notifications:
        await until(lambda: notifications.current("news"))
        failing, tries = True, 0
        await admin.execute("notify news")
        await until(lambda: tries > 2)
        assert notifications.listening
        assert not notifications.current("news")
        assert refresher.behind
        failing = False
        await until(lambda: notifications.current("news"))
        assert tries < 50


async def test_a_thousand_notifications_cost_two_refreshes(database: str, admin: asyncpg.Connection) -> None:
    tries, reading, read, heard = 0, asyncio.Event(), asyncio.Event(), asyncio.Event()
    read.set()

    async def refresh() -> None:
        nonlocal tries
        tries += 1
        reading.set()
        await read.wait()

    async def last() -> None:
        heard.set()

    channels = {"news": Refresher("news", refresh), "last": Refresher("last", last)}
    async with listening(database, **channels) as notifications:
        await until(lambda: notifications.current("news") and notifications.current("last"))
        heard.clear()
        read.clear()
        reading.clear()
        before = tries
        await admin.execute("notify news")
        await asyncio.wait_for(reading.wait(), TIMEOUT)
        # Each with a text of its own: equal ones of a transaction are sent once.
        await admin.execute("select pg_notify('news', n::text) from generate_series(1, 1000) n")
        await admin.execute("notify last")
        await asyncio.wait_for(heard.wait(), TIMEOUT)
        read.set()
        await until(lambda: notifications.current("news"))
        assert tries - before == 2


async def test_changes_that_never_end_are_refreshed_in_turns_and_keep_nobody_waiting() -> None:
    tries = 0
    slow = asyncio.Event()
    slow.set()

    async def refresh() -> None:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0.05)
        await slow.wait()

    refresher = Refresher("news", refresh)

    def behind() -> bool:
        return refresher.behind

    refresher.changed()
    assert behind()
    await refresher.start()
    ended = time.monotonic() + 1.5 * GRACE
    while time.monotonic() < ended:
        refresher.changed()
        assert not behind()
        await asyncio.sleep(0.005)
    assert tries < 1.5 * GRACE / 0.1
    await until(lambda: not refresher.stale)
    # One that takes too long, or fails, is told.
    slow.clear()
    refresher.changed()
    await asyncio.sleep(GRACE / 2)
    assert not behind()
    await until(behind)
    slow.set()
    await until(lambda: not behind())
    await refresher.stop()


async def full(pool: Connections, held: AsyncExitStack) -> None:
    """Let callers have all of the pool's connections."""
    for _ in range(2):
        await held.enter_async_context(pool.acquire())


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Connections]:
    pool = Connections(database, 2, timeout=0.2)
    yield pool
    await pool.close()


def reader(pool: Connections) -> Callable[[], Awaitable[None]]:
    """Reads by the pool's reserve."""
    dedicated = DedicatedConnections(pool)

    async def read() -> None:
        async with dedicated.acquire() as connection:
            await connection.fetchval("select 1")

    return read


async def test_a_full_pool_is_in_nobodys_way(database: str, admin: asyncpg.Connection, pool: Connections) -> None:
    async with listening(database, news=Refresher("news", reader(pool))) as notifications, AsyncExitStack() as held:
        await full(pool, held)
        await until(lambda: notifications.current("news"))
        await admin.execute("notify news")
        await until(lambda: notifications.current("news"))
        assert await admin.fetchval(KILL)
        await until(lambda: not notifications.listening)
        await until(lambda: notifications.current("news"))


async def test_where_the_server_gives_no_more_connections_the_pools_are_waited_for(
    database: str, admin: asyncpg.Connection, pool: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(database, news=Refresher("news", reader(pool))) as notifications:
        await until(lambda: notifications.current("news"))
        async with AsyncExitStack() as held:
            await full(pool, held)

            async def refused(_pool: Connections, _dsn: str) -> None:
                raise asyncpg.TooManyConnectionsError

            monkeypatch.setattr(Connections, "connect", refused)
            await admin.execute("notify news")
            # The waiting ends with PoolTimeout, which is no failure of the database.
            await until(lambda: pool.timeouts > 1)
            assert not notifications.current("news")
        await until(lambda: notifications.current("news"))


async def test_what_a_lost_connection_missed_is_read(database: str, admin: asyncpg.Connection) -> None:
    tried = asyncio.Event()

    async def refresh() -> None:
        tried.set()

    async with listening(database, news=Refresher("news", refresh)) as notifications:
        await until(lambda: notifications.current("news"))
        for _ in range(3):
            tried.clear()
            await admin.execute(KILL)
            await asyncio.wait_for(tried.wait(), TIMEOUT)
            await until(lambda: notifications.current("news"))


async def test_a_session_that_listens_no_more_is_left(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a pooler, which resets it: the connection lives, and hears nothing."""
    forgotten = 0
    fetch = asyncpg.Connection.fetch

    async def forgetful(self: asyncpg.Connection, *given: Any, **options: Any) -> object:
        nonlocal forgotten
        if not forgotten and notifications.listening:
            forgotten += 1
            await self.execute("unlisten *")
        return await fetch(self, *given, **options)

    async with listening(database, news=Refresher("news", nothing)) as notifications:
        monkeypatch.setattr(asyncpg.Connection, "fetch", forgetful)
        await until(lambda: forgotten)
        await until(lambda: not notifications.listening)
        await until(lambda: notifications.current("news"))


@pytest.mark.parametrize("step", ["connect", "listen", "look"])
async def test_whatever_step_fails_somebody_listens_in_the_end(
    database: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    failing = 3
    connect, listen, fetch = asyncpg.connect, asyncpg.Connection.add_listener, asyncpg.Connection.fetch

    def fail(wanted: str) -> None:
        nonlocal failing
        if failing and step == wanted:
            failing -= 1
            raise (ConnectionResetError, asyncpg.TooManyConnectionsError, KeyError)[failing]

    async def connecting(*given: Any, **options: Any) -> asyncpg.Connection:
        fail("connect")
        return await connect(*given, **options)

    async def adding(self: asyncpg.Connection, *given: Any) -> None:
        fail("listen")
        await listen(self, *given)

    async def looking(self: asyncpg.Connection, *given: Any, **options: Any) -> object:
        fail("look")
        return await fetch(self, *given, **options)

    monkeypatch.setattr(asyncpg, "connect", connecting)
    monkeypatch.setattr(asyncpg.Connection, "add_listener", adding)
    monkeypatch.setattr(asyncpg.Connection, "fetch", looking)
    async with listening(database, news=Refresher("news", nothing)) as notifications:
        await until(lambda: notifications.current("news"))
    assert not failing


async def test_nothing_is_left_behind(database: str, admin: asyncpg.Connection, pool: Connections) -> None:
    gc.collect()
    tasks = asyncio.all_tasks()
    async with listening(database, news=Refresher("news", reader(pool))) as notifications:
        for _ in range(4):
            await admin.execute("notify news")
            await admin.execute(KILL)
            await until(lambda: not notifications.listening)
            await until(lambda: notifications.current("news"))
        assert await admin.fetchval(OTHERS) <= 1
    await until(lambda: nobody_else(admin))
    assert asyncio.all_tasks() == tasks


async def nobody_else(admin: asyncpg.Connection) -> bool:
    return bool(await admin.fetchval(OTHERS) == 0)
