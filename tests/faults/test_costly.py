"""Statements whose cost their caller chooses leave connections to everybody else."""

from __future__ import annotations

import asyncio

import asyncpg
import httpx
import pytest

from src.database.connections import Connections
from src.database.errors import PoolTimeout
from src.database.limited_pool import LimitedPool
from tests.conftest import CHECKOUT, Api, serving
from tests.support.races import until

SLOW = """
create or replace function catalog.hits(p_typed text, p_words text[], p_most int)
returns table (place_id int, rank int, meant text[]) language plpgsql volatile
as $$ begin perform pg_sleep(3); end; $$
"""


async def test_searches_that_take_long_leave_checkouts_alone(database: str, admin: asyncpg.Connection) -> None:
    """Three times as many as there are connections, by the endpoint, its function and a read, all by the public key."""
    await admin.execute(SLOW)
    await admin.execute("create or replace view catalog.slow as select 1 as one from pg_sleep(3)")
    await admin.execute("grant select on catalog.slow to anon")
    async with serving(database, pool_size=4) as api:
        searches = [asyncio.create_task(ask(api, number)) for number in range(12)]
        await until(lambda: all_busy(admin))
        loop = asyncio.get_running_loop()
        began = loop.time()
        checkouts = [await api.post("bff-checkout", CHECKOUT | {"idempotency_key": str(n)}) for n in range(5)]
        assert {answer.status_code for answer in checkouts} == {200}
        assert loop.time() - began < 2
        answers = [answer.status_code for answer in await asyncio.gather(*searches)]
        assert set(answers) <= {200, 503, 504}
        assert answers.count(200) >= 4


async def ask(api: Api, number: int) -> httpx.Response:
    match number % 3:
        case 0:
            return await api.post("search-places", {"query": "kigali"})
        case 1:
            arguments = {"p_query": "kigali"}
            return await api.http.post("/rest/v1/rpc/search_places", json=arguments, headers=api.anonymous)
        case _:
            return await api.http.get("/rest/v1/catalog.slow", headers=api.anonymous)


async def all_busy(admin: asyncpg.Connection) -> bool:
    busy = "select count(*) >= 4 from pg_stat_activity where usename = 'web_anon' and state = 'active'"
    return bool(await admin.fetchval(busy))


@pytest.fixture
async def pool(database: str) -> Connections:
    return Connections(database, 3)


async def test_a_share_is_no_larger_than_it_says_and_loses_no_place(pool: Connections) -> None:
    limited = LimitedPool(pool, 2, timeout=0.05)
    async with limited.acquire(), limited.acquire():
        with pytest.raises(PoolTimeout):
            await limited.take()
        async with pool.acquire() as connection:
            assert await connection.fetchval("select 1") == 1
        waiting = asyncio.create_task(limited.take())
        await asyncio.sleep(0)
        waiting.cancel()
    with pytest.raises(ZeroDivisionError):
        async with limited.acquire():
            raise ZeroDivisionError
    async with limited.acquire(), limited.acquire():
        pass
    await limited.close()


async def test_a_place_is_given_back_when_the_pool_has_no_connection(database: str) -> None:
    pool = Connections(database, 1, timeout=0.05)
    limited = LimitedPool(pool, 1)
    async with pool.acquire():
        for _ in range(2):
            with pytest.raises(PoolTimeout):
                await limited.take()
    async with limited.acquire():
        pass
    await pool.close()
