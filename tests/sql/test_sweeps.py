"""The worker's schedule in SQL, and what it purges."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from src.domain.context import Role
from src.logins import login_dsn
from tests.conftest import OPS_USER, as_role
from tests.support.postgres import settings

# Seconds that nobody crosses during a test.
AGE = 10.0**9


async def test_a_slot_has_one_winner_among_many_connections(database: str) -> None:
    async def claim() -> bool:
        async with as_role(database, Role.SERVICE) as connection:
            return bool(await connection.fetchval("select ops.claim_sweep('payouts', $1)", AGE))

    assert sum(await asyncio.gather(*(claim() for _ in range(12)))) == 1


async def test_a_shorter_period_reopens_the_sweep_and_the_longer_one_stays_taken(admin: asyncpg.Connection) -> None:
    claims = [await admin.fetchval("select ops.claim_sweep('payouts', $1)", seconds) for seconds in (AGE, 0.001, AGE)]
    assert claims == [True, True, False]


async def test_a_failure_gives_the_slot_back_after_a_pause_that_grows(admin: asyncpg.Connection) -> None:
    await admin.fetchval("select ops.claim_sweep('payouts', $1)", AGE)
    pauses = []
    for _ in range(12):
        await admin.execute("select ops.fail_sweep('payouts', 'Unavailable')")
        pauses.append(await admin.fetchval("select extract(epoch from next_at - finished_at)::float from ops.sweeps"))
    assert 0.7 < pauses[0] < 1.3
    assert 225 <= pauses[-1] <= 375
    assert not await admin.fetchval("select ops.claim_sweep('payouts', $1)", AGE)
    await admin.execute("update ops.sweeps set next_at = now()")
    assert await admin.fetchval("select ops.claim_sweep('payouts', $1)", AGE)


async def test_a_session_that_stands_still_in_the_sweep_is_noticed(database: str) -> None:
    """Who may call the function holds its lock until the transaction ends."""
    given = settings(database)
    idle = await asyncpg.connect(login_dsn(given, "psql_service"))
    service = await asyncpg.connect(login_dsn(given, "web_service"))
    await service.execute("set lock_timeout = '100ms'")
    async with idle.transaction():
        await idle.execute("select retry_webhook_events()")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await service.execute("select retry_webhook_events()")
    assert await service.fetchval("select retry_webhook_events()") == 0
    await idle.close()
    await service.close()


async def test_five_failures_in_a_row_open_one_exception_and_a_good_turn_resolves_it(admin: asyncpg.Connection) -> None:
    await admin.fetchval("select ops.claim_sweep('payouts', $1)", AGE)
    states = []
    for step in ["fail"] * 4 + ["fail"] * 2 + ["finish"]:
        argument = "0" if step == "finish" else "'ProviderFailed'"
        await admin.execute(f"select ops.{step}_sweep('payouts', {argument})")
        states.append(await admin.fetch("select status, attempts from ops.exceptions where kind = 'sweep'"))
    assert not states[3]
    assert [tuple(row) for row in states[5]] == [("open", 2)]
    assert [tuple(row) for row in states[6]] == [("resolved", 2)]


async def test_answers_are_purged_once_they_are_a_day_old(admin: asyncpg.Connection, database: str) -> None:
    await admin.execute(
        "insert into ops.idempotency_keys (caller, key, request_hash, request_id, locked_until, created_at)"
        " select 'someone', n::text, '', 'r', now(), now() - n * interval '1 hour' from generate_series(1, 48) n"
    )
    async with as_role(database, Role.SERVICE) as connection:
        purged = [await connection.fetchval("select ops.purge_idempotency_keys(20)") for _ in range(3)]
    assert purged == [20, 5, 0]
    assert await admin.fetchval("select max(key::int) from ops.idempotency_keys") == 23


async def test_limits_are_purged_when_they_are_long_full(admin: asyncpg.Connection) -> None:
    await admin.execute(
        "insert into ops.rate_limits values ('f', 'old', 1, now() - interval '2 hours'), ('f', 'new', 1, now())"
    )
    assert await admin.fetchval("select ops.purge_rate_limits()") == 1
    assert await admin.fetchval("select caller from ops.rate_limits") == "new"


@pytest.mark.parametrize("call", ["ops.claim_sweep('x', 1)", "ops.finish_sweep('x', 0)", "ops.fail_sweep('x', 'y')"])
async def test_only_the_service_keeps_the_schedule(database: str, call: str) -> None:
    async with as_role(database, Role.USER, OPS_USER) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"select {call}")


async def test_a_clock_that_was_set_back_stops_no_sweep(admin: asyncpg.Connection) -> None:
    await admin.fetchval("select ops.claim_sweep('payouts', 60)")
    await admin.execute("update ops.sweeps set slot = now() + interval '1 day', next_at = now() + interval '1 day'")
    claims = [await admin.fetchval("select ops.claim_sweep('payouts', $1)", AGE) for _ in range(2)]
    assert claims == [True, False]


async def test_the_worker_empties_the_queue_that_a_session_had_kept(database: str, admin: asyncpg.Connection) -> None:
    """Segments of it are files, which go when nobody needs them any more."""
    segments = "select count(*) from pg_ls_dir('pg_notify')"
    level = "select (ops.service_levels() ->> 'notification_queue_ratio')::float8"
    holder, sender = [await asyncpg.connect(login_dsn(settings(database), "psql_staff")) for _ in range(2)]
    await holder.execute("listen anything")
    await holder.execute("begin; select 1")
    await sender.execute("select pg_notify('anything', repeat('x', 7900) || n) from generate_series(1, 200) n")
    await sender.close()
    assert await admin.fetchval(level) > 0
    await holder.close()
    kept = await admin.fetchval(segments)
    await admin.execute("select ops.finish_sweep('payouts', 0)")
    assert kept > 4
    assert await admin.fetchval(segments) < kept - 3
    assert await admin.fetchval(level) == 0
