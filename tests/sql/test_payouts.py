"""Payouts where the rules live: planned for met escrows alone, made under one claim and one key at a time."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import OPS_USER, TRAVELLER, as_role
from tests.support.escrows import met_escrows
from tests.support.races import rule_of
from tests.support.states import moves

CLAIM = "select claim_payouts()"
FINISH = "select finish_payout($1, $2, $3, $4, $5)"
# Every lease and every pause ends.
TIME_PASSES = """
update "group".payouts set locked_until = null,
  next_attempt_at = case when next_attempt_at is not null then now() end
"""


async def claimed(connection: asyncpg.Connection) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(await connection.fetchval(CLAIM))
    return found


async def finished(connection: asyncpg.Connection, claim: dict[str, Any], outcome: str, ref: str | None = None) -> Any:
    error = None if outcome == "succeeded" else "api_error"
    answer = await connection.fetchval(FINISH, claim["payout_id"], claim["claim"], outcome, ref, error)
    return json.loads(answer)["payout_status"]


async def state(admin: asyncpg.Connection) -> tuple[object, ...]:
    assert await admin.fetch("select * from fin.verify_ledger()") == []
    return tuple(
        await admin.fetchrow(
            'select p.status, e.status from "group".payouts p join "group".escrows e on e.id = p.escrow_id'
        )
        or ()
    )


async def test_psql_moves_a_payout_only_along_its_transitions(admin: asyncpg.Connection) -> None:
    await met_escrows(admin, 1)
    await claimed(admin)
    states = dict.fromkeys(("processing", "succeeded", "failed", "needs_reconcile"), ", next_attempt_at = null")
    legal = {
        *(("processing", after) for after in ("succeeded", "failed", "needs_reconcile")),
        *(("needs_reconcile", after) for after in ("processing", "succeeded", "failed")),
        ("failed", "processing"),
    }
    assert await moves(admin, '"group".payouts', states, "payout_transition") == legal


async def test_psql_cannot_change_what_the_provider_was_asked_for(admin: asyncpg.Connection) -> None:
    await met_escrows(admin, 1)
    await claimed(admin)
    for change in ("total_cents = 1", "mode = 'mock'", "currency = 'RWF'", "claim = 0", "generation = 0"):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await admin.execute(f'update "group".payouts set {change}')
        assert rule_of(refused.value) == "payout_terms_fixed", change
    with pytest.raises(asyncpg.PostgresError):
        await admin.execute('delete from "group".payouts')


async def test_an_escrow_that_is_not_met_has_no_payout(admin: asyncpg.Connection) -> None:
    (escrow,) = await met_escrows(admin, 1)
    await admin.execute("select cancel_escrow($1)", escrow)
    assert await claimed(admin) == []
    assert json.loads(await admin.fetchval("select payout_now($1)", escrow))["payout_status"] == "skipped"
    with pytest.raises(asyncpg.PostgresError) as refused:
        await admin.execute(
            'insert into "group".payouts (escrow_id, total_cents, currency, mode, status)'
            " values ($1, 500, 'USD', 'live', 'processing')",
            escrow,
        )
    assert rule_of(refused.value) == "payout_transition"


async def test_money_that_has_not_come_in_is_not_paid_out(admin: asyncpg.Connection) -> None:
    await met_escrows(admin, 1, captured=False)
    assert await claimed(admin) == []


async def test_two_workers_share_the_payouts_and_make_none_twice(database: str, admin: asyncpg.Connection) -> None:
    escrows = await met_escrows(admin, 3)
    async with as_role(database, Role.SERVICE) as one, as_role(database, Role.SERVICE) as other:
        async with one.transaction():
            first = json.loads(await one.fetchval("select claim_payouts(2)"))
            second = await claimed(other)
        assert [len(first), len(second)] == [2, 1]
        assert sorted(found["escrow_id"] for found in first + second) == sorted(escrows)
        assert await claimed(other) == []


async def test_who_finishes_under_an_older_claim_changes_nothing(admin: asyncpg.Connection) -> None:
    await met_escrows(admin, 1)
    (old,) = await claimed(admin)
    await admin.execute(TIME_PASSES)
    (new,) = await claimed(admin)
    assert new["provider_key"] == old["provider_key"], "the provider knows by it that it is the same payout"
    assert await finished(admin, old, "failed") == "processing"
    assert await finished(admin, new, "succeeded", "tr_1") == "succeeded"
    assert await finished(admin, new, "failed") == "succeeded"
    assert await state(admin) == ("succeeded", "paid_out")


async def test_an_unknown_outcome_is_asked_for_again_under_the_same_key_and_a_refusal_under_another(
    admin: asyncpg.Connection,
) -> None:
    await met_escrows(admin, 1)
    keys = []
    for outcome in ("unknown", "failed", "succeeded"):
        (claim,) = await claimed(admin)
        keys.append(claim["provider_key"])
        await finished(admin, claim, outcome, "tr_1" if outcome == "succeeded" else None)
        assert await claimed(admin) == [], "not at once"
        await admin.execute(TIME_PASSES)
    assert keys[0] == keys[1] != keys[2]
    assert await state(admin) == ("succeeded", "paid_out")


async def test_a_payout_that_is_refused_five_times_waits_for_ops(admin: asyncpg.Connection) -> None:
    (escrow,) = await met_escrows(admin, 1)
    for _ in range(5):
        (claim,) = await claimed(admin)
        assert await finished(admin, claim, "failed") == "failed"
        await admin.execute(TIME_PASSES)
    assert await claimed(admin) == []
    assert await state(admin) == ("failed", "met")
    await admin.execute("select payout_now($1)", escrow)
    (claim,) = await claimed(admin)
    assert await finished(admin, claim, "succeeded", "tr_1") == "succeeded"


async def test_what_nobody_knows_of_after_a_day_is_for_ops_to_decide(admin: asyncpg.Connection) -> None:
    await met_escrows(admin, 1)
    (claim,) = await claimed(admin)
    decide = "select decide_payout($1, $2, $3)"
    with pytest.raises(asyncpg.PostgresError) as refused:
        await admin.execute(decide, claim["payout_id"], True, "tr_1")
    assert rule_of(refused.value) == "payout_undecided"
    await admin.execute(TIME_PASSES)
    await admin.execute("update \"group\".payouts set generation_at = now() - interval '24 hours'")
    assert await claimed(admin) == []
    assert await state(admin) == ("needs_reconcile", "met")
    await admin.execute(decide, claim["payout_id"], True, "tr_1")
    assert await state(admin) == ("succeeded", "paid_out")


async def test_while_payouts_are_paused_only_those_that_ops_ask_for_are_made(admin: asyncpg.Connection) -> None:
    one, _ = await met_escrows(admin, 2)
    await admin.execute("select ops.set_flag('PAYOUTS_PAUSED', '1')")
    assert await claimed(admin) == []
    await admin.execute("select payout_now($1)", one)
    assert [found["escrow_id"] for found in await claimed(admin)] == [one]


async def test_only_ops_pay_by_hand_and_only_the_service_claims(database: str, admin: asyncpg.Connection) -> None:
    (escrow,) = await met_escrows(admin, 1)
    async with as_role(database, Role.USER, TRAVELLER) as traveller, as_role(database, Role.USER, OPS_USER) as ops:
        for call in ("payout_now($1)", "decide_payout($1, true)"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="Only ops"):
                await traveller.fetchval(f"select {call}", escrow)
        for connection in (traveller, ops):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetchval(CLAIM)
        assert json.loads(await ops.fetchval("select payout_now($1)", escrow))["payout_status"] == "processing"


async def test_disputed_money_is_not_paid_out(admin: asyncpg.Connection) -> None:
    await met_escrows(admin, 1)
    await admin.execute(
        "select apply_payment_event('evt_1', 'charge.dispute.created', '{}', true, now(), 'du_1', id, intent_id, null,"
        " 500, 'usd', 'needs_response') from payment.payments"
    )
    assert await admin.fetchval("select result from payment.webhook_events") == "applied"
    assert await claimed(admin) == []
