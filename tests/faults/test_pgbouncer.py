"""Behind a real PgBouncer in transaction mode."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from src.composition import compose
from src.domain.context import ANONYMOUS, Context
from src.domain.errors import NotAllowed
from tests.conftest import SERVICE_CONTEXT
from tests.support import processes
from tests.support.cluster import execute, server
from tests.support.pgbouncer import PREPARING, pgbouncer, require_version
from tests.support.postgres import Server, make_template, settings
from tests.support.processes import TIMEOUT


@pytest.mark.parametrize("pooler", ["transaction", ""])
async def test_callers_share_two_connections_and_none_sees_anothers_settings(tmp_path: Path, pooler: str) -> None:
    if not pooler and require_version() < PREPARING:
        pytest.skip("this PgBouncer knows no prepared statements: PGBOUNCER names another one")
    with server() as primary:
        name = make_template(Server(primary.url("postgres")))
        with pgbouncer(primary.socket_folder, prepares=not pooler) as port:
            given = settings(
                f"postgresql://postgres@127.0.0.1:{port}/{name}",
                database_pooler=pooler,
                database_direct_url=primary.url(name),
                pool_size=8,
            )
            composed = compose(given)
            database = composed.database
            await composed.notifications.start()

            async def listed(number: int) -> bytes:
                context = Context(SERVICE_CONTEXT.caller, f"request-{number}")
                return await database.call(context, "ops.list_exceptions", p_status="open", p_page=1, p_page_size=1)

            async def refused() -> None:
                with pytest.raises(NotAllowed):
                    await database.call(Context(ANONYMOUS, "anonymous"), "public.retry_exception", p_exception_id=None)

            try:
                refusals = asyncio.gather(*(refused() for _ in range(50)))
                answers = await asyncio.gather(*(listed(number) for number in range(300)))
                await refusals
                assert all(f'"request-{number}"'.encode() in answer for number, answer in enumerate(answers))
                assert (
                    await execute(
                        primary.url(name), "select count(*) from pg_stat_activity where usename = 'web_service'"
                    )
                    == 2 + 1
                ), "two of the pooler and the one that listens"
                await execute(primary.url(name), "select ops.set_flag('USE_FIXTURES', '0')")
                async with asyncio.timeout(TIMEOUT):
                    while await composed.switches.value("USE_FIXTURES") != "0":
                        await asyncio.sleep(0.02)
            finally:
                await composed.close()
            # The pooler does not know the administrator: what a start looks at, it looks at directly.
            pooled = {"DATABASE_DIRECT_URL": primary.url(name), "DATABASE_POOLER": pooler}
            with processes.server(given.database_url, tmp_path, **pooled) as one:
                async with httpx.AsyncClient(timeout=TIMEOUT) as client:
                    assert (await client.get(f"{one.address}/readyz")).status_code == 200
