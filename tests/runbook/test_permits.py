"""Runbook, "Permits Workflow", in its order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tests.conftest import OPS_USER, TRAVELLER, Api

VISIT = (datetime.now(UTC) + timedelta(days=90)).date()


async def submit(api: Api, headers: dict[str, str] | None = None) -> str:
    body = {"park": "Volcanoes", "visit_date": VISIT.isoformat(), "pax_count": 2, "note": "Honeymoon trek"}
    answer = await api.post("permits-request", body, headers)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"ok": True, "request_id": answer.json()["request_id"], "status": "pending"}
    return str(answer.json()["request_id"])


async def test_a_traveller_submits_with_their_id_and_anonymous_without(api: Api, admin: asyncpg.Connection) -> None:
    signed_in, anonymous = await submit(api, api.user()), await submit(api)
    rows = await admin.fetch("select id::text, user_id::text, note, status from permits.requests order by user_id")
    assert [tuple(row) for row in rows] == [
        (signed_in, TRAVELLER, "Honeymoon trek", "pending"),
        (anonymous, None, "Honeymoon trek", "pending"),
    ]


async def test_ops_approve_and_the_note_keeps_when_and_who(api: Api, admin: asyncpg.Connection) -> None:
    target = await submit(api, api.user())
    answer = await api.post("permits-ops-approve", {"request_id": target, "note": "Permit confirmed"}, api.ops)
    assert answer.json() == {"ok": True, "request_id": target, "status": "approved"}
    note = await admin.fetchval("select note from permits.requests where id = $1", target)
    words, line = note.split("\n")
    time, decision = line.split(" - ")
    assert words == "Honeymoon trek"
    assert abs(datetime.fromisoformat(time) - datetime.now(UTC)) < timedelta(minutes=1)
    assert decision == f"{OPS_USER}: approved (Permit confirmed)"


async def test_only_pending_requests_can_be_decided(api: Api) -> None:
    target = await submit(api)
    body = {"request_id": target, "note": "Need different date"}
    answer = await api.post("permits-ops-reject", body, api.service)
    assert answer.json() == {"ok": True, "request_id": target, "status": "rejected"}
    again = await api.post("permits-ops-reject", body, api.service)
    assert again.status_code == 409
    assert again.json()["error"] == "Only pending requests can be rejected"
    changed = await api.post("permits-ops-approve", body, api.ops)
    assert changed.json()["error"] == "Only pending requests can be approved"


async def test_only_ops_and_the_service_role_decide(api: Api) -> None:
    target = await submit(api, api.user())
    for function in ("permits-ops-approve", "permits-ops-reject"):
        for headers, status in ((api.anonymous, 401), (api.user(), 403)):
            answer = await api.post(function, {"request_id": target}, headers)
            assert (answer.status_code, answer.json()["code"]) == (status, "AUTH_REQUIRED")


async def test_each_call_prints_one_line(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    target = await submit(api, {**api.user(), "x-request-id": "ask"})
    await api.post("permits-ops-approve", {"request_id": target}, {**api.ops, "x-request-id": "yes"})
    await api.post("permits-ops-reject", {"request_id": target}, {**api.service, "x-request-id": "no"})
    assert capfd.readouterr().out.splitlines() == [
        f"AUDIT permits.request requestId=ask actor={TRAVELLER} park=Volcanoes visit={VISIT} pax=2 status=pending",
        f"AUDIT permits.approve requestId=yes actor={OPS_USER} target={target} status=approved",
        f"AUDIT permits.reject requestId=no actor=service-role target={target} code=DATA_CONFLICT status=409",
    ]


async def test_the_request_id_of_the_line_finds_the_row(api: Api, admin: asyncpg.Connection) -> None:
    target = await submit(api, {**api.user(), "x-request-id": "ask"})
    event = await admin.fetchrow(
        "select who, what, payload->>'permit_request_id' from audit.events where request_id = 'ask'"
    )
    assert event is not None
    assert tuple(event) == (TRAVELLER, "permits.requested", target)
