"""Payments in live mode, through the composed application, against the fake Stripe."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import asyncpg
import pytest

from src.settings import OFFLINE_SWITCHES
from tests.conftest import CHECKOUT, serving
from tests.fakes.stripe import signed
from tests.http.conftest import NEW, OLD, Live

# As often as the SDK sends a call that fails in transit or at the provider.
ALL_TRIES = 3
EVENT = {"id": "evt_1", "type": "customer.created", "created": 1, "data": {"object": {"id": "cus_1"}}}


async def test_a_live_checkout_hands_on_the_providers_intent(live: Live) -> None:
    answer = (await live.checkout()).json()
    (intent,) = live.stripe.intents.values()
    assert (answer["payment_intent"], answer["client_secret"]) == (intent["id"], intent["client_secret"])
    assert (answer["mode"], answer["provider_status"]) == ("live", "requires_payment_method")


@pytest.mark.parametrize(
    ("planned", "status", "left"),
    [(500, 502, "processing"), ("hang_up_before", 502, "processing"), (400, 502, "failed"), (402, 402, "failed")],
)
async def test_a_failing_provider_is_never_a_success_and_never_a_mock(
    live: Live, planned: int | str, status: int, left: str
) -> None:
    live.stripe.plan.extend([planned] * ALL_TRIES)
    answer = await live.checkout()
    live.stripe.plan.clear()
    assert (answer.status_code, answer.json()["code"]) == (status, "PAYMENT_PROVIDER_ERROR")
    assert live.stripe.intents == {}
    row = await live.admin.fetchrow("select status, mode, intent_id from payment.payments")
    assert tuple(row or ()) == (left, "live", None)
    opened = "select x.status from ops.exceptions x join payment.payments p on x.cause = p.id::text"
    assert await live.admin.fetchval(opened) == "open"
    # What nobody knows the worker asks again; a refusal is final until the customer does.
    assert await live.sweep() == (left == "processing", 0)
    assert len(live.stripe.intents) == (left == "processing")
    again = (await live.checkout()).json()
    assert [again["payment_intent"]] == list(live.stripe.intents)
    assert await live.admin.fetchval(opened) == "resolved"
    assert await live.sums() == (0, 0, 0)


async def test_without_a_provider_key_a_live_checkout_fails(database: str, admin: asyncpg.Connection) -> None:
    async with serving(database, switches={**OFFLINE_SWITCHES, "STRIPE_MOCK_MODE": "0"}) as api:
        answer = await api.post("bff-checkout", CHECKOUT)
    assert (answer.status_code, answer.json()["code"]) == (502, "PAYMENT_PROVIDER_ERROR")
    assert await admin.fetchval("select intent_id is null from payment.payments where mode = 'live'")


@pytest.mark.parametrize("planned", ["hang_up", "hang_up_before", 503])
async def test_a_refund_that_nobody_knows_of_is_pending_and_settled_once(live: Live, planned: int | str) -> None:
    payment = await live.paid()
    if planned == "hang_up":
        # Done, but neither the first answer nor the SDK's own tries come through.
        live.stripe.lost_answers = ALL_TRIES
    else:
        live.stripe.plan.extend([planned] * ALL_TRIES)
    answer = await live.refund(payment)
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert len(live.stripe.refunds) == (planned == "hang_up")
    assert await live.sums() == (25000, 0, 5000)
    assert await live.sweep() == (0, 1)
    assert await live.sweep() == (0, 0)
    (refund,) = live.stripe.refunds.values()
    assert refund["metadata"]["refund_id"] == answer.json()["refund_id"]
    # Its event comes after all, twice.
    for event in [live.stripe.events[-1]] * 2:
        assert (await live.tell(event)).status_code == 200
    assert await live.sums() == (25000, live.stripe.refunded(payment["payment_intent"]), 0)
    assert len(live.stripe.refunds) == 1


@pytest.mark.parametrize("planned", [401, 404, 503])
async def test_a_refund_that_is_pending_there_stays_so_whatever_keeps_us_from_asking(live: Live, planned: int) -> None:
    payment = (await live.checkout()).json()
    live.stripe.confirm(payment["payment_intent"], "pm_card_pendingRefund")
    await live.tell(live.stripe.events[-1])
    assert (await live.refund(payment)).status_code == 202
    live.stripe.plan.extend([planned] * ALL_TRIES)
    assert await live.sweep() == (0, 1)
    live.stripe.plan.clear()
    assert await live.sums() == (25000, 0, 5000)
    live.stripe.end_refund(next(iter(live.stripe.refunds)), "succeeded")
    assert await live.sweep() == (0, 1)
    assert await live.sums() == (25000, 5000, 0)


async def test_a_refund_whose_outcome_is_never_known_is_given_up_and_shown_to_ops(live: Live) -> None:
    payment = await live.paid()
    live.stripe.plan.extend([503] * ALL_TRIES)
    refund_id = (await live.refund(payment)).json()["refund_id"]
    live.stripe.plan.clear()
    await live.admin.execute("update payment.refunds set attempts = 20")
    assert await live.sweep() == (0, 0)
    shown = await live.admin.fetchrow("select id, last_error from ops.exceptions where cause = $1", refund_id)
    assert shown is not None
    assert shown["last_error"] == "no outcome after 20 tries: http_503"
    # Not forgotten, and not tried again by itself: the money stays set aside.
    assert await live.sweep() == (0, 0)
    assert await live.sums() == (25000, 0, 5000)
    # Ops try it again; then it is made.
    retry = await live.api.post("ops-exceptions-retry", {"exception_id": str(shown["id"])}, live.api.ops)
    assert retry.json()["status"] == "retrying"
    assert await live.sweep() == (0, 1)
    assert await live.sums() == (25000, 5000, 0)
    assert await live.admin.fetchval("select status from ops.exceptions where id = $1", shown["id"]) == "resolved"


async def test_a_refund_that_the_provider_refuses_fails_and_frees_its_money(live: Live) -> None:
    payment = await live.paid()
    live.stripe.plan.append(400)
    answer = await live.refund(payment, 25000)
    assert (answer.status_code, answer.json()["code"]) == (502, "PAYMENT_PROVIDER_ERROR")
    assert await live.sums() == (25000, 0, 0)
    assert (await live.refund(payment, 25000)).json()["status"] == "refunded"
    assert await live.sums() == (25000, 25000, 0)


async def test_a_refund_made_in_the_providers_dashboard_is_adopted(live: Live) -> None:
    payment = await live.paid()
    live.stripe.refund_in_dashboard(payment["payment_intent"], 7000)
    assert (await live.tell(live.stripe.events[-1])).json()["result"] == "applied"
    assert await live.sums() == (25000, 7000, 0)
    too_much = await live.refund(payment, 18001)
    assert (too_much.status_code, len(live.stripe.refunds)) == (400, 1)


async def test_32_refunds_at_once_give_back_what_was_captured_at_most(live: Live) -> None:
    payment = await live.paid()
    chance = random.Random(11)
    amounts = [chance.randint(100, 3000) for _ in range(32)]
    # Some fail in transit, some answers are lost after the work.
    live.stripe.plan.extend(chance.choices(["ok", 503, "hang_up", "hang_up_before"], [4, 1, 1, 1], k=40))
    answers = await asyncio.gather(*(live.refund(payment, cents) for cents in amounts))
    assert {200, 400} <= {answer.status_code for answer in answers} <= {200, 202, 400}
    live.stripe.plan.clear()
    await live.sweep()
    given_back = sum(answer.json()["amount_cents"] for answer in answers if answer.status_code != 400)
    assert await live.sums() == (25000, given_back, 0)
    assert live.stripe.refunded(payment["payment_intent"]) == given_back <= 25000 < sum(amounts)
    assert {refund["metadata"]["refund_id"] for refund in live.stripe.refunds.values()} == {
        answer.json()["refund_id"] for answer in answers if answer.status_code != 400
    }


@pytest.mark.parametrize("secrets", [(OLD,), (NEW,), ("whsec_other", NEW)])
async def test_while_a_secret_is_rotated_either_signs(live: Live, secrets: tuple[str, ...]) -> None:
    assert (await live.tell(EVENT, *secrets)).json()["result"] == "ignored"
    assert (await live.tell(EVENT, *secrets)).json()["result"] == "duplicate"


@pytest.mark.parametrize("shift", [-301, 302, 3600])
async def test_an_old_or_future_signature_is_refused(live: Live, shift: int) -> None:
    await refused(live, signed(EVENT, NEW, at=time.time() + shift))
    assert (await live.tell(EVENT, at=time.time() + (280 if shift > 0 else -280))).status_code == 200


@pytest.mark.parametrize("fault", ["secret", "byte", "space", "none", "scheme", "two times", "no time"])
async def test_what_is_not_signed_as_it_stands_is_refused(live: Live, fault: str) -> None:
    request = signed(EVENT, "whsec_other" if fault == "secret" else NEW)
    header = request["headers"]["stripe-signature"]
    changed = {
        "none": "",
        "scheme": header.replace("v1=", "v0="),
        "two times": f"t=1,{header}",
        "no time": header.partition(",")[2],
    }
    request["headers"]["stripe-signature"] = changed.get(fault, header)
    if fault == "byte":
        request["content"] = request["content"].replace(b"cus_1", b"cus_2")
    if fault == "space":
        request["content"] += b" "
    await refused(live, request)


async def test_a_signed_event_that_comes_often_at_once_is_applied_once(live: Live) -> None:
    payment = (await live.checkout()).json()
    live.stripe.confirm(payment["payment_intent"])
    answers = await asyncio.gather(*(live.tell(live.stripe.events[-1]) for _ in range(8)))
    assert sorted(answer.json()["result"] for answer in answers) == ["applied", *["duplicate"] * 7]
    assert await live.sums() == (25000, 0, 0)
    captured = "select count(*) from fin.ledger where entry_type = 'capture_succeeded'"
    assert await live.admin.fetchval(captured) == 1


async def refused(live: Live, request: dict[str, Any]) -> None:
    answer = await live.send(**request)
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid signature")
    assert await live.admin.fetchval("select count(*) from payment.webhook_events") == 0
