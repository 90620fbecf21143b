"""Runbook, "Payouts & Expiry (v1)", in its order; then what must never happen."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest

from tests.conftest import ITINERARY, Api, serving
from tests.support.runbook import OWNER, contribute, join, make_group, met_escrow, open_escrow, pass_deadline, told


async def test_the_worker_pays_each_met_escrow_once(api: Api, admin: asyncpg.Connection) -> None:
    escrow = await met_escrow(api)
    body = (await api.post("groups-payout-worker", None, api.service)).json()
    assert [(row["escrow_id"], row["status"], row["total_cents"]) for row in body["processed"]] == [
        (escrow, "succeeded", 50000)
    ]
    assert body["errors"] == []
    again = (await api.post("groups-payout-worker", None, api.service)).json()
    assert again["processed"] == again["errors"] == []
    states = await admin.fetchrow(
        'select e.status, e.paid_out_at is not null, p.status, p.attempts from "group".escrows e'
        ' join "group".payouts p on p.escrow_id = e.id where e.id = $1',
        escrow,
    )
    assert states is not None
    assert tuple(states) == ("paid_out", True, "succeeded", 1)
    assert await admin.fetch("select * from fin.verify_ledger()") == []


async def test_payout_now_gives_the_same_payout_again(api: Api) -> None:
    escrow = await met_escrow(api)
    first = (await api.post("groups-ops-payout-now", {"escrow_id": escrow}, api.ops)).json()
    assert (first["payout_status"], first["total_cents"], first["currency"]) == ("succeeded", 50000, "USD")
    again = (await api.post("groups-ops-payout-now", {"escrow_id": escrow}, api.service)).json()
    assert again["payout_id"] == first["payout_id"]
    unknown = await api.post("groups-ops-payout-now", {"escrow_id": str(uuid4())}, api.ops)
    assert unknown.status_code == 404


async def test_an_open_escrow_is_skipped(api: Api) -> None:
    escrow = await open_escrow(api, await make_group(api))
    answer = (await api.post("groups-ops-payout-now", {"escrow_id": escrow}, api.ops)).json()
    assert answer["payout_status"] == "skipped"


async def test_only_ops_and_the_service_pay_out(api: Api) -> None:
    escrow = await met_escrow(api)
    assert (await api.post("groups-ops-payout-now", {"escrow_id": escrow}, api.user())).status_code == 403
    assert (await api.post("groups-ops-payout-now", {"escrow_id": escrow})).status_code == 401
    assert (await api.post("groups-payout-worker", None, api.ops)).status_code == 403


async def test_the_report_counts_inclusive_days(api: Api) -> None:
    await met_escrow(api)
    await api.post("groups-payout-worker", None, api.service)
    today = datetime.now(UTC).date().isoformat()
    report = (await api.get("groups-payouts-report", api.service, from_=today, to=today)).json()
    assert report["range"] == {"from": today, "to": today}
    assert report["counts"] == [{"status": "succeeded", "currency": "USD", "count": 1, "total_cents": 50000}]
    assert [row["status"] for row in report["recent"]] == ["succeeded"]
    past = (await api.get("groups-payouts-report", api.service, from_="2025-01-01", to="2025-01-31")).json()
    assert past["counts"] == past["recent"] == []


async def test_expiry_fails_the_payout_and_gives_captured_money_back(api: Api, admin: asyncpg.Connection) -> None:
    escrow = await open_escrow(api, await make_group(api, itinerary_id=ITINERARY), itinerary_id=ITINERARY)
    given = await contribute(api, escrow, OWNER, 20000)
    assert await told(api, "payment_intent.succeeded", given) == "applied"
    await pass_deadline(admin, escrow)
    await api.post("groups-payout-worker", None, api.service)
    payout = await admin.fetchrow('select status, last_error from "group".payouts where escrow_id = $1', escrow)
    assert payout is not None
    assert tuple(payout) == ("failed", "expired_no_payout")
    assert await admin.fetchval('select status from "group".escrows where id = $1', escrow) == "expired"
    late = await api.post("groups-contribute", {"escrow_id": escrow, "amount_cents": 1}, api.user(OWNER))
    assert late.status_code == 409
    refund = await admin.fetchrow(
        "select amount_cents, origin from payment.refunds where payment_id = $1", given["payment_id"]
    )
    assert refund is not None
    assert tuple(refund) == (20000, "escrow")
    assert await admin.fetch("select * from fin.verify_ledger()") == []


async def test_two_workers_and_payout_now_at_once_pay_once(database: str, admin: asyncpg.Connection) -> None:
    async with serving(database) as one, serving(database) as two:
        escrows = [await met_escrow(one, cents) for cents in range(1000, 1012)]
        await asyncio.gather(
            *(api.post("groups-payout-worker", None, api.service) for api in (one, two) * 4),
            *(one.post("groups-ops-payout-now", {"escrow_id": escrow}, one.service) for escrow in escrows),
        )
        await one.post("groups-payout-worker", None, one.service)
    paid = "select payload ->> 'escrow_id' from audit.events where what = 'payout.succeeded'"
    assert sorted(row[0] for row in await admin.fetch(paid)) == sorted(escrows)
    assert await admin.fetchval("select count(*) from \"group\".escrows where status = 'paid_out'") == len(escrows)
    assert await admin.fetch("select * from fin.verify_ledger()") == []


async def test_sixty_four_members_at_once_add_up_and_meet_it_once(api: Api, admin: asyncpg.Connection) -> None:
    group = await make_group(api, itinerary_id=ITINERARY)
    escrow = await open_escrow(api, group, itinerary_id=ITINERARY, target_cents=64 * 100, min_members=64)
    members = [await join(api, group) for _ in range(64)]
    await asyncio.gather(*(contribute(api, escrow, member, 100) for member in members))
    row = await admin.fetchrow('select status, total_cents from "group".escrows where id = $1', escrow)
    assert row is not None
    assert tuple(row) == ("met", 6400)
    met = "select count(*) from audit.events where what = 'escrow.met' and payload ->> 'escrow_id' = $1"
    assert await admin.fetchval(met, escrow) == 1


@pytest.mark.parametrize("status", ["met", "paid_out", "cancelled", "expired"])
async def test_psql_cannot_move_an_escrow_by_hand(api: Api, admin: asyncpg.Connection, status: str) -> None:
    escrow = await met_escrow(api)
    await api.post("groups-payout-worker", None, api.service)
    if status != "paid_out":
        with pytest.raises(asyncpg.PostgresError):
            await admin.execute('update "group".escrows set status = $2 where id = $1', escrow, status)
    with pytest.raises(asyncpg.PostgresError):
        await admin.execute('delete from "group".payouts where escrow_id = $1', escrow)
