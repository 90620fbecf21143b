"""Runbook: "Checkout & Webhook (offline)", "Submit a refund request", "Refunds (HITL)", "Ledger reconciliation"."""

from __future__ import annotations

import re

import asyncpg
import pytest

from src.settings import LIVE_SWITCHES, OFFLINE_SWITCHES
from tests.conftest import CHECKOUT, ITINERARY, OPS_USER, Api, serving
from tests.support.runbook import paid, told


async def facts(admin: asyncpg.Connection, payment: str) -> list[str]:
    rows = await admin.fetch("select entry_type from fin.ledger where payment_id = $1::uuid order by seq", payment)
    return [row["entry_type"] for row in rows]


async def test_a_failed_card_tried_again_succeeds(api: Api, admin: asyncpg.Connection) -> None:
    intent = (await api.post("bff-checkout", CHECKOUT)).json()
    assert await told(api, "payment_intent.payment_failed", intent) == "applied"
    assert await told(api, "payment_intent.succeeded", intent) == "applied"
    assert await admin.fetchval("select status from payment.payments") == "succeeded"
    assert await facts(admin, intent["payment_id"]) == ["intent_created", "capture_failed", "capture_succeeded"]
    assert (
        await admin.fetchval(
            "select status from ops.exceptions where kind = 'payment' and cause = $1", intent["payment_id"]
        )
        == "resolved"
    )


async def test_a_payment_is_refunded_in_part_and_then_whole(
    api: Api, admin: asyncpg.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    intent = await paid(api)
    payment = intent["payment_id"]
    asked = {"payment_id": payment, "amount_cents": 5000, "reason": "guest_cancelled"}
    body = (await api.post("payments-refund", asked, api.service)).json()
    assert (body["ok"], body["status"], body["refunded_cents"], body["mode"]) == (True, "refunded", 5000, "mock")
    assert body["provider_ref"] == f"{intent['payment_intent']}-refund"
    rest = (await api.post("payments-refund", {"payment_id": payment}, api.service)).json()
    assert (rest["amount_cents"], rest["refunded_cents"], rest["provider_ref"]) == (20000, 25000, body["provider_ref"])
    written = capfd.readouterr().out
    assert (
        len(
            re.findall(
                r"^MOCK_REFUND payment=\S+ intent=\S+ refund=\S+ amount=\d+ currency=USD$", written, re.MULTILINE
            )
        )
        == 2
    )
    line = f"AUDIT payments.refund requestId={body['request_id']} actor=service-role payment={payment}"
    assert line in written
    assert "guest_cancelled" not in written
    assert await facts(admin, payment) == [
        "intent_created",
        "capture_succeeded",
        *["refund_requested", "refund_succeeded"] * 2,
    ]
    assert await admin.fetch("select * from fin.verify_ledger()") == []
    gone = await api.post("payments-refund", {"payment_id": payment}, api.service)
    assert (gone.status_code, gone.json()["code"]) == (409, "DATA_CONFLICT")


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"amount_cents": 25001}, 400, "amount exceeds original payment"),
        ({"amount_cents": 0}, 400, "amount_cents must be a positive integer"),
        ({"reason": " "}, 400, "reason must be between 1 and 200 characters"),
        ({"payment_id": "x"}, 400, "payment_id must be a valid UUID"),
        ({"payment_id": ITINERARY}, 404, "Payment not found"),
    ],
)
async def test_a_refund_that_cannot_be_is_refused(
    api: Api, admin: asyncpg.Connection, change: dict[str, object], status: int, message: str
) -> None:
    intent = await paid(api)
    answer = await api.post("payments-refund", {"payment_id": intent["payment_id"], **change}, api.service)
    assert (answer.status_code, answer.json()["error"]) == (status, message)
    assert await admin.fetchval("select count(*) from payment.refunds") == 0


async def test_only_the_service_refunds_and_only_what_was_captured(api: Api) -> None:
    intent = (await api.post("bff-checkout", CHECKOUT)).json()
    asked = {"payment_id": intent["payment_id"]}
    assert (await api.post("payments-refund", asked)).status_code == 401
    assert (await api.post("payments-refund", asked, api.ops)).status_code == 403
    assert (await api.post("payments-refund", asked, api.service)).status_code == 409


async def test_one_idempotency_key_is_one_refund(api: Api, admin: asyncpg.Connection) -> None:
    intent = await paid(api)
    asked = {"payment_id": intent["payment_id"], "amount_cents": 5000}
    headers = api.service | {"idempotency-key": "k1"}
    first, again = [await api.post("payments-refund", asked, headers) for _ in range(2)]
    # The stored answer is lost: as if the process had died before it kept it.
    await admin.execute("delete from ops.idempotency_keys")
    after = await api.post("payments-refund", asked, headers)
    assert first.json()["refund_id"] == again.json()["refund_id"] == after.json()["refund_id"]
    assert await admin.fetchval("select refunded_cents from payment.payments") == 5000


async def test_a_mock_ops_refund_does_nothing_and_says_so(
    api: Api, admin: asyncpg.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = {"itinerary_id": ITINERARY, "amount_cents": 15000, "reason": "customer cancellation"}
    answer = await api.post("ops-refund", asked, api.anonymous | {"x-request-id": "r1"})
    assert answer.json() == {"ok": True, "request_id": "mock-r1"}
    assert capfd.readouterr().out.startswith(
        f"AUDIT ops.refund requestId=mock-r1 actor=anonymous details=itinerary={ITINERARY}|amount=15000|mode=mock"
    )
    assert await admin.fetchval("select count(*) from payment.refunds") == 0
    bad = await api.post("ops-refund", {"itinerary_id": "1", "amount_cents": 0, "reason": ""})
    assert bad.json()["errors"] == [
        "itinerary_id must be a valid UUID",
        "amount_cents must be a positive integer",
        "reason must be between 1 and 200 characters",
    ]


async def test_a_live_ops_refund_finds_the_newest_payment_with_something_left(
    database: str, admin: asyncpg.Connection
) -> None:
    asked = {"itinerary_id": ITINERARY, "amount_cents": 15000, "reason": "customer cancellation"}
    async with serving(database, switches={**OFFLINE_SWITCHES, "OPS_REFUND_MODE": "live"}) as api:
        assert (await api.post("ops-refund", asked)).status_code == 401
        assert (await api.post("ops-refund", asked, api.user())).status_code == 403
        none = await api.post("ops-refund", asked, api.ops)
        assert (none.status_code, none.json()["error"]) == (404, "No payment found for itinerary")
        intent = await paid(api)
        body = (await api.post("ops-refund", asked, api.ops)).json()
    assert (body["payment_id"], body["status"]) == (intent["payment_id"], "refunded")
    who = await admin.fetchval("select who from audit.events where what = 'refund.requested'")
    assert who == OPS_USER


async def test_a_fact_by_hand_is_recorded_once_and_moves_the_payment(api: Api, admin: asyncpg.Connection) -> None:
    intent = (await api.post("bff-checkout", CHECKOUT)).json()
    fact = {
        "payment_id": intent["payment_id"],
        "entry_type": "capture_succeeded",
        "amount_cents": 25000,
        "provider_ref": intent["payment_intent"],
    }
    first, again = [(await api.post("fin-ledger-append", fact, api.service)).json() for _ in range(2)]
    assert first["entry_id"] == again["entry_id"]
    assert await admin.fetchval("select status from payment.payments") == "succeeded"
    differs = await api.post("fin-ledger-append", fact | {"amount_cents": 1}, api.service)
    assert (differs.status_code, differs.json()["error"][:15]) == (409, "ledger_conflict")
    early = {"entry_type": "dispute_closed", "provider_ref": "du_1", "note": "nobody@example"}
    assert (await api.post("fin-ledger-append", fact | early, api.service)).status_code == 400
    assert (await api.post("fin-ledger-append", fact, api.ops)).status_code == 403
    assert await admin.fetch("select * from fin.verify_ledger()") == []


async def test_in_live_mode_the_anon_key_marks_nothing_as_paid(
    api: Api, database: str, admin: asyncpg.Connection
) -> None:
    intent = (await api.post("bff-checkout", CHECKOUT)).json()
    event = {"type": "payment_intent.succeeded", "data": {n: intent[n] for n in ("payment_id", "payment_intent")}}
    async with serving(database, switches=LIVE_SWITCHES) as live:
        answer = await live.post("stripe-webhook", event)
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid signature")
    assert await admin.fetchval("select status from payment.payments") == "processing"
