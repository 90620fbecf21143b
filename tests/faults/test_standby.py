"""Lists and `/rest/v1` from a hot standby: whoever wrote, through whichever process, reads the write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from src.adapters.postgres.database import Database
from src.composition import compose
from src.database import standby as standbys
from src.domain.errors import NotAllowed
from tests.conftest import SERVICE_CONTEXT, SERVICE_KEY, user_context
from tests.support.cluster import Cluster, cluster, execute
from tests.support.postgres import settings
from tests.support.processes import TIMEOUT, server
from tests.support.races import until

# Say which server ran them.
MADE = (
    "create function public.where_read() returns json language sql stable as 'select to_json(pg_is_in_recovery())'",
    "grant execute on function public.where_read() to service_role",
    "create view ops.where_read as select pg_is_in_recovery() as on_standby",
    "grant select on ops.where_read to service_role",
)
WHERE_READ = "/rest/v1/ops.where_read"


@pytest.fixture(scope="module")
def pair() -> Iterator[Cluster]:
    with cluster() as made:
        for statement in MADE:
            asyncio.run(execute(made.primary_dsn, statement))
        yield made


@pytest.fixture(autouse=True)
async def _following(pair: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(standbys, "REST", 0.05)
    yield
    await execute(pair.standby_dsn, "select pg_wal_replay_resume()")


@asynccontextmanager
async def reading(pair: Cluster, replica: str | None = None) -> AsyncIterator[Database]:
    given = settings(pair.primary_dsn, database_replica_url=pair.standby_dsn if replica is None else replica)
    database = compose(given).database
    try:
        yield database
    finally:
        await database.close()


async def read_from_standby(database: Database) -> bool:
    return await database.read(SERVICE_CONTEXT, "public.where_read") == b"true"


async def test_reads_go_to_the_standby_until_it_falls_behind(pair: Cluster) -> None:
    async with reading(pair) as database:
        assert await read_from_standby(database)
        await execute(pair.standby_dsn, "select pg_wal_replay_pause()")
        await execute(pair.primary_dsn, "select ops.open_exception('webhook', 'behind', 'no payment has this intent')")
        assert not await read_from_standby(database)
        assert b"no payment has this intent" in await listed(database)
        await execute(pair.standby_dsn, "select pg_wal_replay_resume()")
        await until(lambda: read_from_standby(database))


async def listed(database: Database) -> bytes:
    return await database.read(SERVICE_CONTEXT, "ops.list_exceptions", p_status="open", p_page=1, p_page_size=1)


async def test_every_read_after_a_write_sees_it(pair: Cluster) -> None:
    async with reading(pair) as database:
        for number in range(100):
            await execute(pair.primary_dsn, f"select ops.open_exception('webhook', 'seen-{number}', 'cause {number}.')")
            assert f"cause {number}.".encode() in await listed(database)


async def test_the_standby_refuses_what_the_primary_refuses(pair: Cluster) -> None:
    async with reading(pair) as database:
        with pytest.raises(NotAllowed, match="Only ops may do this"):
            await database.read(user_context(), '"group".payouts_report', p_start_from=None, p_start_to=None)


async def test_without_a_standby_that_answers_the_primary_is_read(pair: Cluster, tmp_path: Path) -> None:
    nobody = f"postgresql://postgres@/{pair.database}?host={tmp_path}"
    unknown = pair.standby.url("nothing")
    for replica in (nobody, unknown, pair.primary_dsn):
        async with reading(pair, replica) as database:
            assert not await read_from_standby(database)
            assert b"data" in await listed(database)


async def test_what_one_process_writes_the_other_reads(pair: Cluster, tmp_path: Path) -> None:
    live = {"DATABASE_REPLICA_URL": pair.standby_dsn, "USE_FIXTURES": "0"}
    key = {"apikey": SERVICE_KEY}
    with server(pair.primary_dsn, tmp_path, **live) as one, server(pair.primary_dsn, tmp_path, **live) as two:
        async with (
            httpx.AsyncClient(base_url=f"{one.address}/functions/v1", headers=key, timeout=TIMEOUT) as writing,
            httpx.AsyncClient(base_url=two.address, headers=key, timeout=TIMEOUT) as reading,
        ):
            assert (await reading.get(WHERE_READ)).json() == [{"on_standby": True}]
            for number in range(30):
                if number == 20:
                    await execute(pair.standby_dsn, "select pg_wal_replay_pause()")
                data = {"object": {"id": f"pi_lost_{number}"}}
                event = {"id": f"evt_lost_{number}", "type": "payment_intent.succeeded", "data": data}
                assert (await writing.post("stripe-webhook", json=event)).json()["result"] == "deferred"
                newest = (await reading.get("/functions/v1/ops-exceptions", params={"page_size": "1"})).json()
                opened = await execute(pair.primary_dsn, f"select id from ops.exceptions where cause = '{event['id']}'")
                assert newest["data"][0]["id"] == str(opened)
                row = f"/rest/v1/ops.exceptions?select=id&cause=eq.{event['id']}"
                assert (await reading.get(row)).json() == [{"id": str(opened)}]
            assert (await reading.get(WHERE_READ)).json() == [{"on_standby": False}]
        assert "the standby is behind" in two.text()
