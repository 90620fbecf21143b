"""Payments where the rules live: one for a key, moves that psql cannot force, an intent that is asked for once."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import ITINERARY, OPS_USER, TRAVELLER, as_role
from tests.support.races import raced, rule_of
from tests.support.states import moves

START = "select start_checkout($1, $2, $3, $4)"
# The moves of docs/api.md, written down once more.
LEGAL = {
    *(("requires_action", after) for after in ("processing", "succeeded", "failed", "voided")),
    *(("processing", after) for after in ("requires_action", "succeeded", "failed", "voided")),
    *(("failed", after) for after in ("processing", "requires_action", "succeeded", "voided")),
    *(("voided", "succeeded"), ("succeeded", "refunded"), ("refunded", "succeeded")),
}
UNTAKEN = ", captured_cents = 0, refunded_cents = 0"
TAKEN = ", captured_cents = 25000, refunded_cents = 0"
STATES = {
    **dict.fromkeys(("requires_action", "processing", "failed", "voided"), UNTAKEN),
    "succeeded": TAKEN,
    "refunded": ", captured_cents = 25000, refunded_cents = 1",
}


async def started(
    connection: asyncpg.Connection, cents: int = 25000, currency: str = "USD", key: str | None = None
) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await connection.fetchval(START, ITINERARY, cents, currency, key))
    return answer


async def due(admin: asyncpg.Connection) -> list[dict[str, Any]]:
    await admin.execute("update payment.payments set next_attempt_at = now() where next_attempt_at is not null")
    found: list[dict[str, Any]] = json.loads(await admin.fetchval("select claim_due_intents()"))
    return found


async def test_psql_moves_a_payment_only_along_its_transitions(admin: asyncpg.Connection) -> None:
    payment = await started(admin)
    await admin.execute("update payment.payments set intent_id = 'pi_1' where id = $1", payment["payment_id"])
    assert await moves(admin, "payment.payments", STATES, "payment_transition") == LEGAL


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("amount_cents = 1", "payment_terms_fixed"),
        ("currency = 'RWF'", "payment_terms_fixed"),
        ("mode = 'mock'", "payment_terms_fixed"),
        ("idempotency_key = 'other'", "payment_terms_fixed"),
        ("intent_id = 'pi_2'", "payment_intent_fixed"),
        ("captured_cents = 25001, status = 'succeeded'", "captured_within_amount"),
        ("captured_cents = 100, refund_pending_cents = 101, status = 'succeeded'", "refunds_within_captured"),
        ("captured_cents = 100", "captured_when_succeeded"),
    ],
)
async def test_psql_cannot_change_what_a_payment_is(admin: asyncpg.Connection, change: str, rule: str) -> None:
    payment = await started(admin)
    await admin.execute("update payment.payments set intent_id = 'pi_1' where id = $1", payment["payment_id"])
    with pytest.raises(asyncpg.PostgresError) as refused:
        await admin.execute(f"update payment.payments set {change}")
    assert rule_of(refused.value) == rule
    for removal in ("delete from payment.payments", "truncate payment.payments cascade"):
        with pytest.raises(asyncpg.PostgresError):
            await admin.execute(removal)


async def test_a_key_is_one_payment_also_when_two_begin_it_at_once(database: str) -> None:
    async with as_role(database, Role.ANONYMOUS) as one, as_role(database, Role.USER, TRAVELLER) as other:
        first = one.fetchval(START, ITINERARY, 25000, "USD", None)
        late = await raced(one, first, other, other.fetchval(START, ITINERARY, 25000, "USD", None))
        assert json.loads(str(late))["payment_id"] == (await started(one))["payment_id"]


async def test_a_key_stays_with_its_terms(admin: asyncpg.Connection) -> None:
    await started(admin, key="mine")
    for cents, currency in ((25001, "USD"), (25000, "EUR")):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await started(admin, cents, currency, "mine")
        assert rule_of(refused.value) == "payment_key_reused"


@pytest.mark.parametrize("key", ["contribution:1", "0" * 48])
async def test_nobody_chooses_a_key_that_is_made_for_another(admin: asyncpg.Connection, key: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await started(admin, key=key)
    assert rule_of(refused.value) == "payment_key_chosen"
    own = (await started(admin))["idempotency"]
    assert (await started(admin, key=own))["idempotency"] == own


async def test_anybody_may_begin_a_payment_and_only_the_service_gives_it_an_intent(database: str) -> None:
    async with as_role(database, Role.ANONYMOUS) as anonymous, as_role(database, Role.USER, OPS_USER) as ops:
        payment = (await started(anonymous))["payment_id"]
        for connection in (anonymous, ops):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetchval("select record_payment_intent($1, 'pi_1')", payment)
        assert await ops.fetchval("select count(*) from payment.payments") == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await anonymous.fetch("select id from payment.payments")
    async with as_role(database, Role.USER, TRAVELLER) as traveller:
        assert await traveller.fetch("select id from payment.payments") == []


async def test_an_intent_is_asked_for_by_one_worker_at_a_time(database: str, admin: asyncpg.Connection) -> None:
    payment = (await started(admin))["payment_id"]
    await admin.execute("update payment.payments set next_attempt_at = now()")
    async with as_role(database, Role.SERVICE) as one, as_role(database, Role.SERVICE) as other:
        claim = "select claim_due_intents()"
        async with one.transaction():
            assert [found["payment_id"] for found in json.loads(await one.fetchval(claim))] == [payment]
            assert json.loads(await other.fetchval(claim)) == []
        assert json.loads(await other.fetchval(claim)) == []


async def test_only_a_definite_refusal_asks_under_another_key(admin: asyncpg.Connection) -> None:
    payment = await started(admin)
    fail = "select record_intent_failure($1, 'api_error', $2)"
    await admin.execute(fail, payment["payment_id"], False)
    assert [found["provider_key"] for found in await due(admin)] == [payment["provider_key"]]
    await admin.execute(fail, payment["payment_id"], True)
    assert await due(admin) == []
    again = await started(admin)
    assert again["status"] == "failed"
    assert again["provider_key"] == payment["provider_key"] + ":2"
    opened = "select count(*) from ops.exceptions where cause = $1 and status = 'open'"
    assert await admin.fetchval(opened, payment["payment_id"]) == 1
    await admin.execute("select record_payment_intent($1, 'pi_1')", payment["payment_id"])
    assert await admin.fetchval(opened, payment["payment_id"]) == 0


async def test_an_intent_that_nobody_made_within_a_day_is_given_up(admin: asyncpg.Connection) -> None:
    """The provider forgets keys, so the same key might make a second one."""
    payment = (await started(admin))["payment_id"]
    await admin.execute("update payment.payments set created_at = now() - $1::interval", timedelta(hours=24))
    assert await due(admin) == []
    row = await admin.fetchrow("select status, last_error from payment.payments where id = $1", payment)
    assert tuple(row or ()) == ("failed", "abandoned")


async def test_an_intent_that_is_recorded_again_changes_nothing_and_another_is_refused(
    admin: asyncpg.Connection,
) -> None:
    payment = (await started(admin))["payment_id"]
    record = "select record_payment_intent($1, $2)"
    for _ in range(2):
        await admin.execute(record, payment, "pi_1")
    assert await admin.fetchval("select count(*) from fin.entries") == 1
    with pytest.raises(asyncpg.PostgresError) as refused:
        await admin.execute(record, payment, "pi_2")
    assert rule_of(refused.value) == "payment_intent_fixed"
    with pytest.raises(asyncpg.PostgresError) as refused:
        await admin.execute(record, uuid4(), "pi_3")
    assert rule_of(refused.value) == "payment_known"
