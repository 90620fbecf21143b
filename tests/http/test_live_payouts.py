"""Payouts of real money through the composed application, with Stripe's failures."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from src.domain import payouts
from tests.conftest import Api, serving
from tests.fakes.stripe import FakeStripe, live_settings
from tests.fakes.wire import listening
from tests.support.escrows import met_escrows

# As often as the SDK sends a call.
ALL_TRIES = 3
PAYOUT = 'select status, generation, attempts, last_error, next_attempt_at is not null as due from "group".payouts'
OPEN = "select count(*) from ops.exceptions where kind = 'payout' and status <> 'resolved' and cause !~ '^demo'"
RETRY = "select retry_exception(id) from ops.exceptions where kind = 'payout' and cause !~ '^demo'"


@dataclass
class Live:
    api: Api
    stripe: FakeStripe
    admin: asyncpg.Connection

    async def sweep(self) -> dict[str, Any]:
        """Leases and pauses are over; then the worker's turn."""
        await self.admin.execute(
            'update "group".payouts set locked_until = null, next_attempt_at = now() where next_attempt_at is not null'
        )
        return dict((await self.api.post("groups-payout-worker", None, self.api.service)).json())

    async def payout(self) -> tuple[object, ...]:
        row = await self.admin.fetchrow(PAYOUT)
        assert row is not None
        return tuple(row)

    async def claim(self) -> dict[str, Any]:
        (claim,) = json.loads(await self.admin.fetchval("select claim_payouts()"))
        return dict(claim)


@pytest.fixture
async def live(database: str, admin: asyncpg.Connection) -> AsyncIterator[Live]:
    stripe = FakeStripe()
    async with (
        listening(stripe) as address,
        serving(database, **live_settings(address, stripe_payout_account="acct_operator")) as api,
    ):
        yield Live(api, stripe, admin)


async def test_captured_money_is_paid_by_one_transfer(live: Live) -> None:
    (escrow,) = await met_escrows(live.admin, 1)
    (processed,) = (await live.sweep())["processed"]
    (transfer,) = live.stripe.transfers.values()
    assert (processed["escrow_id"], processed["status"], processed["total_cents"]) == (escrow, "succeeded", 500)
    assert (transfer["metadata"]["escrow_id"], transfer["amount"]) == (escrow, 500)
    assert await live.admin.fetchval('select provider_ref from "group".payouts') == transfer["id"]
    assert (await live.sweep())["processed"] == []


async def test_money_that_is_only_pledged_is_not_paid_out(live: Live) -> None:
    (escrow,) = await met_escrows(live.admin, 1, captured=False)
    assert (await live.sweep())["processed"] == []
    answer = (await live.api.post("groups-ops-payout-now", {"escrow_id": escrow}, live.api.ops)).json()
    assert answer["payout_status"] == "skipped"
    assert live.stripe.transfers == {}


async def test_a_lost_answer_is_asked_for_under_the_same_key(live: Live) -> None:
    await met_escrows(live.admin, 1)
    live.stripe.lost_answers = ALL_TRIES
    body = await live.sweep()
    assert (body["processed"][0]["status"], body["errors"][0]["error"]) == ("processing", "no_answer")
    assert await live.admin.fetchval(OPEN) == 1
    assert (await live.sweep())["processed"][0]["status"] == "succeeded"
    assert (len(live.stripe.transfers), await live.admin.fetchval(OPEN)) == (1, 0)


async def test_a_provider_that_never_answers_is_given_up_before_the_lease_ends(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    await met_escrows(live.admin, 1)
    monkeypatch.setattr(payouts, "ASKING_SECONDS", 0.2)
    live.stripe.delay = 60
    body = await live.sweep()
    assert body["errors"][0]["error"] == "no_answer"
    assert (await live.payout())[0] == "processing"


async def test_five_refusals_leave_it_to_ops_who_try_again_under_a_new_key(live: Live) -> None:
    await met_escrows(live.admin, 1)
    for number in range(1, 6):
        live.stripe.plan.append(400)
        body = await live.sweep()
        assert (body["processed"][0]["status"], body["errors"][0]["error"]) == ("failed", "provider_error")
        assert await live.payout() == ("failed", number, number, "provider_error", number < 5)
    assert (await live.sweep())["processed"] == []
    assert await live.admin.fetchval(OPEN) == 1
    assert await live.admin.fetchval('select status from "group".escrows') == "met"
    await live.admin.execute(RETRY)
    assert (await live.sweep())["processed"][0]["status"] == "succeeded"
    assert await live.payout() == ("succeeded", 6, 6, None, False)
    assert (len(live.stripe.transfers), await live.admin.fetchval(OPEN)) == (1, 0)


async def half_known(live: Live) -> UUID:
    """A payout that the provider made a day ago without our hearing of it."""
    await met_escrows(live.admin, 1)
    live.stripe.lost_answers = ALL_TRIES
    await live.sweep()
    live.stripe.keys.clear()
    await live.admin.execute("update \"group\".payouts set generation_at = generation_at - interval '25 hours'")
    await live.sweep()
    assert (await live.payout())[0] == "needs_reconcile"
    assert len(live.stripe.transfers) == 1
    return UUID(str(await live.admin.fetchval('select id from "group".payouts')))


async def test_a_day_later_it_is_looked_for_when_ops_try_again(live: Live) -> None:
    await half_known(live)
    assert (await live.sweep())["processed"] == []
    await live.admin.execute(RETRY)
    assert (await live.sweep())["processed"][0]["status"] == "succeeded"
    assert list(live.stripe.transfers) == [await live.admin.fetchval('select provider_ref from "group".payouts')]
    assert await live.admin.fetchval(OPEN) == 0


@pytest.mark.parametrize(("paid", "status"), [(True, "paid_out"), (False, "met")])
async def test_or_ops_say_what_they_saw_at_the_provider(live: Live, *, paid: bool, status: str) -> None:
    payout = await half_known(live)
    escrow = await live.admin.fetchval('select id from "group".escrows')
    with pytest.raises(asyncpg.PostgresError, match="cannot become cancelled"):
        await live.admin.execute("select cancel_escrow($1)", escrow)
    await live.admin.execute("select decide_payout($1, $2, 'tr_seen')", payout, paid)
    assert await live.admin.fetchval('select status from "group".escrows') == status
    with pytest.raises(asyncpg.PostgresError, match="not to be decided"):
        await live.admin.execute("select decide_payout($1, $2)", payout, paid)


async def test_who_answers_after_the_lease_changes_nothing(live: Live) -> None:
    await met_escrows(live.admin, 1)
    early = await live.claim()
    await live.admin.execute('update "group".payouts set locked_until = now()')
    late = await live.claim()
    assert (early["provider_key"], early["claim"] + 1) == (late["provider_key"], late["claim"])
    finish = "select finish_payout($1, $2, $3, $4, null)"
    payout = UUID(late["payout_id"])
    for outcome, ref in (("failed", None), ("succeeded", "tr_early")):
        await live.admin.execute(finish, payout, early["claim"], outcome, ref)
        assert (await live.payout())[0] == "processing"
    await live.admin.execute(finish, payout, late["claim"], "succeeded", "tr_late")
    assert await live.admin.fetchval('select provider_ref from "group".payouts') == "tr_late"


async def test_a_disputed_contribution_holds_the_payout_back(live: Live) -> None:
    await met_escrows(live.admin, 1)
    dispute = (
        "select apply_payment_event($1, $2, '{}', true, now(), 'du_1', null, intent_id, null, 500, 'usd', $3)"
        " from payment.payments"
    )
    await live.admin.execute(dispute, "evt_1", "charge.dispute.created", "needs_response")
    assert (await live.sweep())["processed"] == []
    await live.admin.execute(dispute, "evt_2", "charge.dispute.closed", "won")
    assert (await live.sweep())["processed"][0]["status"] == "succeeded"


async def test_paused_payouts_wait_but_ops_may_ask_for_one(live: Live) -> None:
    escrows = await met_escrows(live.admin, 2)
    await live.admin.execute("select ops.set_flag('PAYOUTS_PAUSED', '1')")
    assert (await live.sweep())["processed"] == []
    answer = (await live.api.post("groups-ops-payout-now", {"escrow_id": escrows[1]}, live.api.ops)).json()
    assert (answer["payout_status"], len(live.stripe.transfers)) == ("succeeded", 1)
    await live.admin.execute("select ops.set_flag('PAYOUTS_PAUSED', null)")
    assert [row["escrow_id"] for row in (await live.sweep())["processed"]] == [escrows[0]]
