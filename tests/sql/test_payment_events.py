"""Events that come early, differ or prove nothing; 32 refunds at once stay within the capture."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import AsyncExitStack
from uuid import UUID

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import ITINERARY, as_role
from tests.support.payment_events import APPLY, PAID, payment, told
from tests.support.races import raced, rule_of, until


async def state(admin: asyncpg.Connection, owner: UUID) -> asyncpg.Record:
    row = await admin.fetchrow(
        "select status, captured_cents, refunded_cents from payment.payments where id = $1", owner
    )
    assert row is not None
    return row


async def test_an_event_of_no_payment_is_kept_and_applied_when_its_payment_is_known(admin: asyncpg.Connection) -> None:
    identity = "evt-early"
    owner = await payment(admin)
    arguments = ["payment_intent.succeeded", 5, "pi_early", None, "pi_early", 25000, None]
    assert json.loads(await admin.fetchval(APPLY, identity, *arguments))["result"] == "deferred"
    assert (
        await admin.fetchval("select count(*) from ops.exceptions where cause = $1 and status = 'open'", identity) == 1
    )
    await admin.execute("select record_payment_intent($1, 'pi_early')", owner)
    assert (await state(admin, owner))["status"] == "succeeded"
    assert await admin.fetchval("select result from payment.webhook_events where id = $1", identity) == "applied"
    assert await admin.fetchval("select status from ops.exceptions where cause = $1", identity) == "resolved"


async def test_an_event_of_another_amount_is_not_applied_until_the_worker_can(admin: asyncpg.Connection) -> None:
    owner = await payment(admin)
    assert await told(admin, owner, ("payment_intent.succeeded", 5, "pi", 24999, None)) == "deferred"
    assert (await state(admin, owner))["captured_cents"] == 0
    await admin.execute("update payment.webhook_events set next_attempt_at = now()")
    assert await admin.fetchval("select retry_webhook_events()") == 1
    assert await admin.fetchval("select retry_webhook_events()") == 0
    assert await admin.fetchval("select attempts from payment.webhook_events") == 2


@pytest.mark.parametrize("role", list(Role))
async def test_no_login_holds_up_what_waits(database: str, admin: asyncpg.Connection, role: Role) -> None:
    owner = await payment(admin)
    assert await told(admin, owner, ("payment_intent.succeeded", 5, "pi", 24999, None)) == "deferred"
    await admin.execute("update payment.webhook_events set next_attempt_at = now()")
    # As where no superuser applied.
    await admin.execute("grant execute on function pg_advisory_lock(bigint) to public")
    async with as_role(database, role) as caller:
        await caller.execute("select pg_advisory_lock(hashtext('payment.webhook_events'))")
        transaction = caller.transaction()
        await transaction.start()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await caller.execute("lock table payment.transitions in share update exclusive mode")
        await transaction.rollback()
        assert await admin.fetchval("select retry_webhook_events()") == 1


async def test_one_sweep_at_a_time_tries_what_waits(database: str, admin: asyncpg.Connection) -> None:
    owner = await payment(admin)
    assert await told(admin, owner, ("payment_intent.succeeded", 5, "pi", 24999, None)) == "deferred"
    await admin.execute("update payment.webhook_events set next_attempt_at = now()")
    other = await asyncpg.connect(database)
    await admin.execute("begin")
    assert await admin.fetchval("select retry_webhook_events()") == 1
    waiting = asyncio.create_task(other.fetchval("select retry_webhook_events()"))
    await until(lambda: admin.fetchval("select exists (select from pg_locks where not granted)"))
    await admin.execute("commit")
    assert await waiting == 0
    await other.close()


async def test_an_unsigned_event_moves_no_live_payment(admin: asyncpg.Connection) -> None:
    owner = await payment(admin)
    await admin.execute("select record_payment_intent($1, 'pi_live')", owner)
    call = "select apply_payment_event('e', 'payment_intent.succeeded', '{}', false, null, 'pi_live', null, 'pi_live')"
    assert json.loads(await admin.fetchval(call))["result"] == "deferred"
    assert (await state(admin, owner))["status"] == "processing"


@pytest.mark.parametrize(("cents", "rule"), [(25000, None), (25001, "payment_key_reused")])
async def test_two_who_make_the_payment_of_one_key_at_once_get_one(
    database: str, admin: asyncpg.Connection, cents: int, rule: str | None
) -> None:
    start = "select start_checkout($1, $2, 'USD', 'one-key') ->> 'payment_id'"
    async with as_role(database, Role.SERVICE) as first, as_role(database, Role.SERVICE) as second:
        outcome = await raced(
            first, first.fetchval(start, ITINERARY, 25000), second, second.fetchval(start, ITINERARY, cents)
        )
    assert (rule_of(outcome) if rule else None) == rule
    (made,) = await admin.fetch("select id::text, amount_cents from payment.payments")
    assert tuple(made) == (made["id"] if rule else outcome, 25000)
    assert await admin.fetchval("select count(*) from audit.events where what = 'payment.created'") == 1


async def test_32_refunds_at_once_never_exceed_the_capture(database: str, admin: asyncpg.Connection) -> None:
    owner = await payment(admin)
    await told(admin, owner, PAID)
    chance = random.Random(7)
    amounts = [chance.randint(100, 3000) for _ in range(32)]

    async def refund(connection: asyncpg.Connection, cents: int) -> int:
        try:
            asked = json.loads(await connection.fetchval("select request_refund($1, $2)", owner, cents))
        except asyncpg.PostgresError as error:
            assert error.sqlstate == "PT400"  # noqa: PT017 - the refusal is one of two right outcomes
            return 0
        refund_id = UUID(asked["refund_id"])
        await connection.execute("select record_refund($1, 'succeeded', $2)", refund_id, f"re_{refund_id}")
        return cents

    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(as_role(database, Role.SERVICE)) for _ in range(32)]
        given_back = await asyncio.gather(*(refund(*pair) for pair in zip(callers, amounts, strict=True)))
    found = await state(admin, owner)
    assert found["refunded_cents"] == sum(given_back) <= 25000 < sum(amounts)
    assert min(cents for cents, done in zip(amounts, given_back, strict=True) if not done) > 25000 - sum(given_back)
    assert await admin.fetch("select * from fin.verify_ledger()") == []
