"""Refunds where the rules live: never more than was captured, one for a key, and the money back when they fail."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import ITINERARY, OPS_USER, TRAVELLER, as_role
from tests.support.money import captured
from tests.support.payment_events import LOST, OPENED, PAID, payment, told
from tests.support.races import raced, rule_of
from tests.support.states import moves

ASK = "select request_refund($1, $2, 'asked', $3)"
SETTLE = "select record_refund($1, $2, $3, $4)"
SUMS = "select captured_cents, refund_pending_cents, refunded_cents, status from payment.payments where id = $1"


async def paid(admin: asyncpg.Connection) -> UUID:
    """A payment whose money has come in, through the books."""
    made = await payment(admin)
    await told(admin, made, PAID)
    return made


async def asked(
    connection: asyncpg.Connection, of: UUID, cents: int | None = None, key: str | None = None
) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await connection.fetchval(ASK, of, cents, key))
    return answer


async def sums(admin: asyncpg.Connection, of: UUID) -> tuple[object, ...]:
    assert await admin.fetch("select * from fin.verify_ledger()") == []
    return tuple(await admin.fetchrow(SUMS, of) or ())


async def test_psql_moves_a_refund_only_along_its_transitions(admin: asyncpg.Connection) -> None:
    await asked(admin, await paid(admin))
    await admin.execute("update payment.refunds set next_attempt_at = null")
    states = dict.fromkeys(("pending", "succeeded", "failed"), "")
    # What a payment's sums say of the move is another rule's.
    await admin.execute("alter table payment.refunds disable trigger count_refund")
    legal = {("pending", "succeeded"), ("pending", "failed"), ("succeeded", "failed")}
    assert await moves(admin, "payment.refunds", states, "refund_transition") == legal


async def test_psql_cannot_change_what_a_refund_is(admin: asyncpg.Connection) -> None:
    await asked(admin, await paid(admin))
    for change in ("amount_cents = 1", "payment_id = gen_random_uuid()", "currency = 'RWF'", "origin = 'escrow'"):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await admin.execute(f"update payment.refunds set {change}")
        assert rule_of(refused.value) == "refund_terms_fixed"
    with pytest.raises(asyncpg.PostgresError):
        await admin.execute("delete from payment.refunds")


async def test_what_is_asked_for_is_set_aside_and_no_more_than_is_left(admin: asyncpg.Connection) -> None:
    of = await paid(admin)
    await asked(admin, of, 20000)
    assert await sums(admin, of) == (25000, 20000, 0, "succeeded")
    with pytest.raises(asyncpg.PostgresError) as refused:
        await asked(admin, of, 5001)
    assert rule_of(refused.value) == "refund_within_capture"
    assert (await asked(admin, of))["amount_cents"] == 5000
    with pytest.raises(asyncpg.PostgresError) as refused:
        await asked(admin, of)
    assert rule_of(refused.value) == "refund_left"


async def test_of_two_refunds_of_all_at_once_the_later_one_loses(database: str, admin: asyncpg.Connection) -> None:
    of = await paid(admin)
    async with as_role(database, Role.SERVICE) as one, as_role(database, Role.SERVICE) as other:
        lost = await raced(one, one.fetchval(ASK, of, 25000, None), other, other.fetchval(ASK, of, 25000, None))
    assert rule_of(lost) == "refund_within_capture"
    assert await sums(admin, of) == (25000, 25000, 0, "succeeded")


async def test_a_key_is_one_refund_until_that_fails(admin: asyncpg.Connection) -> None:
    of = await paid(admin)
    first = await asked(admin, of, 5000, "mine")
    assert (await asked(admin, of, 5000, "mine"))["refund_id"] == first["refund_id"]
    with pytest.raises(asyncpg.PostgresError) as refused:
        await asked(admin, of, 5001, "mine")
    assert rule_of(refused.value) == "refund_key_reused"
    await admin.execute(SETTLE, first["refund_id"], "failed", None, "expired_or_canceled_card")
    assert await sums(admin, of) == (25000, 0, 0, "succeeded")
    assert (await asked(admin, of, 5000, "mine"))["refund_id"] != first["refund_id"]


async def test_a_refund_that_the_provider_takes_back_gives_the_money_back_to_the_payment(
    admin: asyncpg.Connection,
) -> None:
    of = await paid(admin)
    refund = (await asked(admin, of, 5000))["refund_id"]
    await admin.execute(SETTLE, refund, "succeeded", "re_1", None)
    assert await sums(admin, of) == (25000, 0, 5000, "refunded")
    await admin.execute(SETTLE, refund, "failed", "re_1", "lost_or_stolen_card")
    assert await sums(admin, of) == (25000, 0, 0, "succeeded")
    await admin.execute(SETTLE, refund, "succeeded", "re_1", None)
    assert await sums(admin, of) == (25000, 0, 0, "succeeded")


async def test_nothing_is_refunded_of_what_was_not_captured_or_is_disputed(admin: asyncpg.Connection) -> None:
    of = await payment(admin)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await asked(admin, of, 1)
    assert rule_of(refused.value) == "payment_captured"
    await told(admin, of, PAID)
    for event in (OPENED, LOST):
        assert await told(admin, of, event) == "applied"
        with pytest.raises(asyncpg.PostgresError) as refused:
            await asked(admin, of, 1)
        assert rule_of(refused.value) == "payment_undisputed"
    with pytest.raises(asyncpg.PostgresError) as refused:
        await asked(admin, uuid4(), 1)
    assert rule_of(refused.value) == "payment_known"


async def test_who_may_ask_for_a_refund(database: str, admin: asyncpg.Connection) -> None:
    (of,) = await captured(admin)
    itinerary = "select request_itinerary_refund($1, 100, 'asked')"
    async with as_role(database, Role.USER, TRAVELLER) as traveller, as_role(database, Role.USER, OPS_USER) as ops:
        for connection in (traveller, ops):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await asked(connection, of)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="Only ops"):
            await traveller.fetchval(itinerary, ITINERARY)
        await ops.fetchval("select ops.set_flag('OPS_REFUND_MODE', 'mock')")
        assert "refund_id" not in json.loads(await ops.fetchval(itinerary, ITINERARY))
        assert await admin.fetchval("select count(*) from payment.refunds") == 0
        await ops.fetchval("select ops.set_flag('OPS_REFUND_MODE', 'live')")
        with pytest.raises(asyncpg.PostgresError) as refused:
            await ops.fetchval(itinerary, uuid4())
        assert rule_of(refused.value) == "itinerary_paid"


async def test_a_refund_is_made_by_one_worker_at_a_time_and_given_up_at_last(
    database: str, admin: asyncpg.Connection
) -> None:
    refund = (await asked(admin, await paid(admin)))["refund_id"]
    claim = "select claim_due_refunds()"
    assert json.loads(await admin.fetchval(claim)) == [], "whoever asked for it makes it, for a minute"
    await admin.execute("update payment.refunds set next_attempt_at = now()")
    async with as_role(database, Role.SERVICE) as one, as_role(database, Role.SERVICE) as other, one.transaction():
        assert [found["refund_id"] for found in json.loads(await one.fetchval(claim))] == [refund]
        assert json.loads(await other.fetchval(claim)) == []
    await admin.execute("update payment.refunds set next_attempt_at = now(), attempts = 20")
    assert json.loads(await admin.fetchval(claim)) == []
    row = await admin.fetchrow("select status, next_attempt_at from payment.refunds")
    assert tuple(row or ()) == ("pending", None)
    assert (
        await admin.fetchval("select kind from ops.exceptions where cause = $1 and status = 'open'", refund) == "refund"
    )
