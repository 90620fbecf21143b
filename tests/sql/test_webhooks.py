"""The inbox of the provider's events where its rules live: each kept once, applied when it can be, to nothing else."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import OPS_USER, TRAVELLER, as_role
from tests.support.payment_events import PAID, payment, told
from tests.support.races import raced

APPLY = "select apply_payment_event($1, $2, '{}', $3, now(), $4, $5, $4, null, $6, $7)"
RETRY = "select retry_webhook_events()"


async def event(
    connection: asyncpg.Connection,
    identity: str = "evt_1",
    kind: str = "payment_intent.succeeded",
    *,
    signed: bool = True,
    intent: str = "pi_1",
    payment_id: object = None,
    cents: int = 25000,
    currency: str = "usd",
) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(
        await connection.fetchval(APPLY, identity, kind, signed, intent, payment_id, cents, currency)
    )
    return answer


async def test_an_event_is_applied_once_also_when_it_comes_twice_at_once(
    database: str, admin: asyncpg.Connection
) -> None:
    of = await payment(admin)
    arguments = ("evt_1", PAID[0], True, "pi_1", of, 25000, "usd")
    async with as_role(database, Role.SERVICE) as one, as_role(database, Role.SERVICE) as other:
        first = one.fetchval(APPLY, *arguments)
        late = await raced(one, first, other, other.fetchval(APPLY, *arguments))
    assert json.loads(str(late))["result"] == "duplicate"
    assert await admin.fetchval("select count(*) from fin.entries where entry_type = 'capture_succeeded'") == 1
    assert await admin.fetchval("select captured_cents from payment.payments") == 25000


@pytest.mark.parametrize(
    "change",
    [{"cents": 24999}, {"currency": "eur"}, {"payment_id": None}, {"intent": "pi_other", "payment_id": None}],
    ids=["another amount", "another currency", "an unknown intent", "another intent"],
)
async def test_an_event_that_does_not_fit_moves_no_money_and_is_shown_to_ops(
    admin: asyncpg.Connection, change: dict[str, Any]
) -> None:
    of = await payment(admin)
    assert (await event(admin, **{"payment_id": of} | change))["result"] == "deferred"
    assert await admin.fetchval("select captured_cents from payment.payments") == 0
    assert await admin.fetchval("select count(*) from fin.entries") == 0
    shown = "select kind from ops.exceptions where cause = 'evt_1' and status = 'open'"
    assert await admin.fetchval(shown) == "webhook"


async def test_an_unsigned_event_moves_no_live_payment(admin: asyncpg.Connection) -> None:
    of = await payment(admin)
    assert (await event(admin, signed=False, payment_id=of))["result"] == "deferred"
    assert await admin.fetchval("select status from payment.payments") == "processing"


async def test_an_event_that_came_too_early_is_applied_when_the_payment_is_known(admin: asyncpg.Connection) -> None:
    assert (await event(admin))["result"] == "deferred"
    of = await payment(admin)
    await admin.execute("select record_payment_intent($1, 'pi_1')", of)
    assert await admin.fetchval("select captured_cents from payment.payments") == 25000
    assert await admin.fetchval("select result from payment.webhook_events") == "applied"
    assert await admin.fetchval("select status from ops.exceptions where cause = 'evt_1'") == "resolved"


async def test_a_deferred_event_is_tried_again_later_each_time_and_in_the_end_no_more(
    admin: asyncpg.Connection,
) -> None:
    await event(admin)
    assert await admin.fetchval(RETRY) == 0, "not at once"
    pauses = []
    for _ in range(20):
        pause = await admin.fetchval("select next_attempt_at - now() from payment.webhook_events")
        pauses.append(round(pause.total_seconds() / 60))
        await admin.execute("update payment.webhook_events set next_attempt_at = now()")
        assert await admin.fetchval(RETRY) == 1
    assert pauses == [min(2**turn, 60) for turn in range(20)]
    assert await admin.fetchval("select next_attempt_at from payment.webhook_events") is None
    assert await admin.fetchval("select status from ops.exceptions where cause = 'evt_1'") == "open"
    assert await admin.fetchval("select count(*) from ops.exceptions where cause = 'evt_1'") == 1


async def test_an_event_of_another_kind_is_kept_and_does_nothing(admin: asyncpg.Connection) -> None:
    of = await payment(admin)
    assert (await event(admin, kind="customer.created", payment_id=of))["result"] == "ignored"
    assert await admin.fetchval("select count(*) from payment.webhook_events") == 1
    assert await admin.fetchval("select status from payment.payments") == "processing"


async def test_only_the_service_tells_of_events_and_nobody_removes_one(
    database: str, admin: asyncpg.Connection
) -> None:
    await told(admin, await payment(admin), PAID)
    for user in (TRAVELLER, OPS_USER):
        async with as_role(database, Role.USER, user) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await event(connection)
            assert await connection.fetchval("select count(*) from payment.webhook_events") == int(user == OPS_USER)
    for statement in ("delete from payment.webhook_events", "truncate payment.webhook_events"):
        with pytest.raises(asyncpg.PostgresError):
            await admin.execute(statement)
