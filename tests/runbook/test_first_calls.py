"""The runbook's first calls in its order, as a client sends them."""

from __future__ import annotations

import asyncpg

from tests.conftest import CHECKOUT, Api
from tests.support.runbook import told


async def test_bookings_are_listed_by_date_and_supplier(api: Api) -> None:
    answer = await api.get("ops-bookings", from_="2025-10-01", to="2025-10-15", supplier="HBX")
    body = answer.json()
    assert (answer.status_code, body["ok"], body["source"]) == (200, True, "fixtures")
    assert body["request_id"]
    assert {row["supplier"] for row in body["data"]} == {"HBX"}


async def test_exceptions_are_listed_by_status(api: Api) -> None:
    for status in ("open", "retrying", "resolved"):
        body = (await api.get("ops-exceptions", status=status)).json()
        assert {row["status"] for row in body["data"]} == {status}


async def test_a_payment_succeeds_once_however_often_its_event_comes(api: Api, admin: asyncpg.Connection) -> None:
    intent = (await api.post("bff-checkout", CHECKOUT)).json()
    assert intent["status"] == "processing"
    assert intent["idempotency"] == "4d487930d60e0e2891eecf4e15c68c7e8491c2c376b9e15c"
    assert intent["payment_intent"] == f"pi_mock_{intent['payment_id']}"
    row = await admin.fetchrow("select status from payment.payments where id = $1", intent["payment_id"])
    assert row is not None
    assert row["status"] == "processing"
    assert [await told(api, "payment_intent.succeeded", intent) for _ in range(2)] == ["applied", "duplicate"]
    row = await admin.fetchrow("select status, provider_ref from payment.payments where id = $1", intent["payment_id"])
    assert row is not None
    assert tuple(row) == ("succeeded", intent["payment_intent"])


async def test_a_declined_payment_fails_and_is_shown_to_ops(api: Api, admin: asyncpg.Connection) -> None:
    intent = (await api.post("bff-checkout", CHECKOUT)).json()
    event = {
        "type": "payment_intent.payment_failed",
        "data": {"payment_id": intent["payment_id"], "payment_intent": intent["payment_intent"]},
    }
    answer = await api.post("stripe-webhook", event, api.anonymous | {"x-request-id": "r1"})
    assert answer.json()["result"] == "applied"
    assert await admin.fetchval("select status from payment.payments") == "failed"
    noted = await admin.fetch("select request_id from audit.events where what = 'payment.failure'")
    assert [row["request_id"] for row in noted] == ["r1"]
    opened = await admin.fetch("select status from ops.exceptions where cause = $1", intent["payment_id"])
    assert [row["status"] for row in opened] == ["open"]


async def test_the_ledger_reconciles_in_its_sequence(api: Api) -> None:
    intent = (await api.post("bff-checkout", CHECKOUT)).json()
    for kind in ("payment_intent.payment_failed", "payment_intent.succeeded"):
        await told(api, kind, intent)
    path = f"/rest/v1/fin.ledger?payment_id=eq.{intent['payment_id']}&order=occurred_at"
    answer = await api.http.get(path, headers=api.service | {"accept-profile": "fin"})
    assert answer.status_code == 200
    rows = answer.json()
    assert [row["entry_type"] for row in rows] == ["intent_created", "capture_failed", "capture_succeeded"]
    assert [row["seq"] for row in rows] == [1, 2, 3]
    assert (await api.http.get(path, headers=api.user())).status_code == 403
    assert (await api.http.get(path, headers=api.anonymous)).status_code == 401


async def test_live_views_are_for_ops(api: Api) -> None:
    path = "/rest/v1/ops.v_bookings?select=id,status"
    rows = (await api.http.get(path, headers=api.ops)).json()
    assert len(rows) == 24
    assert set(rows[0]) == {"id", "status"}
    assert (await api.http.get(path, headers=api.user())).status_code == 403
    assert (await api.http.get(path, headers=api.anonymous)).status_code == 401
