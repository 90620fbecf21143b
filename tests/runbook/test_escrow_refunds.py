"""The money of an escrow that closes goes back by itself, unless ops hold it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import asyncpg
import pytest

from tests.conftest import Api
from tests.support.runbook import OWNER, contribute, make_group, met_escrow, open_escrow, pass_deadline, told

REFUNDS = "select payment_id::text, amount_cents, status, origin from payment.refunds order by requested_at"
OPEN = "select id from ops.exceptions where kind = 'refund' and status <> 'resolved' and cause !~ '^demo'"


async def expired(api: Api, admin: asyncpg.Connection, *, captured: bool) -> tuple[str, dict[str, object]]:
    escrow = await open_escrow(api, await make_group(api))
    given = await contribute(api, escrow, OWNER, 20000)
    if captured:
        assert await told(api, "payment_intent.succeeded", given) == "applied"
    await pass_deadline(admin, escrow)
    return escrow, given


async def test_an_expiry_and_its_refunds_are_one_transaction(api: Api, admin: asyncpg.Connection) -> None:
    await expired(api, admin, captured=True)
    await admin.execute("select expire_escrows()")
    same = 'select e.xmin = c.xmin and c.refund_status = \'due\' from "group".escrows e, "group".contributions c'
    assert await admin.fetchval(same) is True


async def test_money_that_comes_after_the_expiry_goes_back_at_once(api: Api, admin: asyncpg.Connection) -> None:
    _, given = await expired(api, admin, captured=False)
    await api.post("groups-payout-worker", None, api.service)
    assert await admin.fetch(REFUNDS) == []
    assert await told(api, "payment_intent.succeeded", given) == "applied"
    assert await admin.fetchval('select refund_status from "group".contributions') == "due"
    for _ in range(2):
        await api.post("groups-payout-worker", None, api.service)
    assert [tuple(row)[:2] for row in await admin.fetch(REFUNDS)] == [(given["payment_id"], 20000)]
    assert await admin.fetch("select * from fin.verify_ledger()") == []


async def test_ops_hold_the_refunds_of_escrows_and_let_them_go(api: Api, admin: asyncpg.Connection) -> None:
    await admin.execute("select ops.set_flag('ESCROW_REFUNDS_PAUSED', '1')")
    _, given = await expired(api, admin, captured=True)
    await api.post("groups-payout-worker", None, api.service)
    assert await admin.fetch(REFUNDS) == []
    await admin.execute("select ops.set_flag('ESCROW_REFUNDS_PAUSED', null)")
    await api.post("groups-payout-worker", None, api.service)
    assert [tuple(row) for row in await admin.fetch(REFUNDS)] == [(given["payment_id"], 20000, "pending", "escrow")]


async def test_a_refund_that_fails_is_shown_to_ops_and_made_anew(api: Api, admin: asyncpg.Connection) -> None:
    await expired(api, admin, captured=True)
    await api.post("groups-payout-worker", None, api.service)
    await admin.execute("select record_refund(id, 'failed', null, 'declined') from payment.refunds")
    assert await admin.fetchval('select refund_status from "group".contributions') == "attention"
    (exception,) = await admin.fetch(OPEN)
    retried = await api.post("ops-exceptions-retry", {"exception_id": str(exception["id"])}, api.ops)
    assert retried.json()["status"] == "retrying"
    await api.post("groups-payout-worker", None, api.service)
    await admin.execute("select record_refund(id, 'succeeded', 're_1') from payment.refunds where status = 'pending'")
    assert [row["status"] for row in await admin.fetch(REFUNDS)] == ["failed", "succeeded"]
    assert await admin.fetchval('select refund_status from "group".contributions') == "refunded"
    assert await admin.fetch(OPEN) == []


async def test_a_deadline_is_a_moment_whatever_its_zone(api: Api, admin: asyncpg.Connection) -> None:
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=30)
    kigali = moment.astimezone(timezone(timedelta(hours=2))).isoformat()
    escrow = await open_escrow(api, await make_group(api), deadline=kigali)
    assert await admin.fetchval('select deadline from "group".escrows where id = $1', UUID(escrow)) == moment
    # In Kigali it is later than this; the moment is past all the same.
    past = (datetime.now(UTC) - timedelta(seconds=1)).astimezone(timezone(timedelta(hours=2))).isoformat()
    terms = {"group_id": await make_group(api), "target_cents": 500, "deadline": past}
    assert (await api.post("groups-create-escrow", terms, api.user(OWNER))).status_code == 400


@pytest.mark.parametrize(
    ("at", "counted"),
    [
        ("2025-03-01T00:00:00Z", True),
        ("2025-03-31T23:59:59.999999Z", True),
        ("2025-02-28T23:59:59.999999Z", False),
        ("2025-04-01T00:00:00Z", False),
    ],
)
async def test_a_report_holds_its_first_and_its_last_day_whole(
    api: Api, admin: asyncpg.Connection, *, at: str, counted: bool
) -> None:
    await met_escrow(api)
    await api.post("groups-payout-worker", None, api.service)
    await admin.execute('update "group".payouts set created_at = $1', datetime.fromisoformat(at))
    report = (await api.get("groups-payouts-report", api.service, from_="2025-03-01", to="2025-03-31")).json()
    assert (len(report["counts"]), len(report["recent"])) == (counted, counted)
    reversed_ = await api.get("groups-payouts-report", api.service, from_="2025-03-31", to="2025-03-01")
    assert reversed_.status_code == 400
