"""`ops-exceptions-retry` (docs/api.md, Bookings and exceptions): what failed is queued again."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from src.adapters.postgres.exceptions import FIXTURES
from src.settings import LIVE_SWITCHES
from tests.conftest import CHECKOUT, Api, serving
from tests.support.runbook import told

FAILED = """
with message as (
  insert into wa.messages (direction, mode, type, msisdn, body, status, failed_at)
  values ('out', 'mock', 'text', '250788123456', 'Hello', 'failed', now()) returning id
)
insert into ops.exceptions (kind, cause, last_error) select 'message', id::text, 'undeliverable' from message
returning id, cause
"""


async def test_a_failed_message_is_queued_again(api: Api, admin: asyncpg.Connection) -> None:
    row = await admin.fetchrow(FAILED)
    assert row is not None
    answer = await api.post("ops-exceptions-retry", {"exception_id": str(row["id"]), "note": "number checked"}, api.ops)
    body = answer.json()
    assert (answer.status_code, body["exception_id"], body["status"]) == (200, str(row["id"]), "retrying")
    assert await admin.fetchval("select status from wa.messages where id = $1::uuid", row["cause"]) == "queued"


async def test_only_what_is_unresolved_is_retried_and_only_by_ops(api: Api, admin: asyncpg.Connection) -> None:
    resolved = await admin.fetchval("select id from ops.exceptions where status = 'resolved' limit 1")
    body = {"exception_id": str(resolved)}
    assert (await api.post("ops-exceptions-retry", body, api.ops)).status_code == 409
    assert (await api.post("ops-exceptions-retry", body, api.user())).status_code == 403
    assert (await api.post("ops-exceptions-retry", body)).status_code == 401
    assert (await api.post("ops-exceptions-retry", {"exception_id": str(uuid4())}, api.ops)).status_code == 404


async def listed(api: Api, headers: dict[str, str] | None = None, **query: object) -> list[dict[str, object]]:
    answer = await api.get("ops-exceptions", headers, **query)
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert isinstance(data, list)
    return data


async def fail_a_payment(api: Api) -> str:
    payment = (await api.post("bff-checkout", CHECKOUT)).json()
    data = {"payment_id": payment["payment_id"], "payment_intent": payment["payment_intent"]}
    assert (await told(api, "payment_intent.payment_failed", data)) == "applied"
    return str(payment["payment_id"])


async def test_offline_fixtures_and_what_really_failed_are_one_list(api: Api, admin: asyncpg.Connection) -> None:
    fixtures = await listed(api, api.ops, page_size=100)
    assert {row["source"] for row in fixtures} == {"fixtures"}
    cause = await fail_a_payment(api)
    opened = str(await admin.fetchval("select id from ops.exceptions where cause = $1", cause))
    rows = await listed(api, api.ops, page_size=100)
    assert (rows[0]["id"], rows[0]["source"]) == (opened, "view")
    assert rows[1:] == fixtures
    # Pages, filters, order and totals are of the whole list.
    pages = [await listed(api, api.ops, page=number, page_size=3) for number in (1, 2, 3, 4)]
    assert [row for page in pages for row in page] == rows
    assert (await api.get("ops-exceptions", api.ops, page_size=1)).json()["total"] == len(rows)
    open_ones = await listed(api, api.ops, status="open", page_size=100)
    assert open_ones == [row for row in rows if row["status"] == "open"]
    body = (await api.get("ops-exceptions", api.ops, status="open", page_size=1)).json()
    assert (body["total"], body["source"]) == (len(open_ones), "fixtures")


@pytest.mark.parametrize("caller", ["anonymous", "user"])
async def test_offline_what_really_failed_is_for_ops_alone(api: Api, caller: str) -> None:
    await fail_a_payment(api)
    headers = api.anonymous if caller == "anonymous" else api.user()
    body = (await api.get("ops-exceptions", headers, page_size=100)).json()
    assert {row["source"] for row in body["data"]} == {"fixtures"}
    assert body["total"] == len(body["data"])


async def test_a_fixture_that_is_retried_is_so_for_everybody(
    api: Api, database: str, admin: asyncpg.Connection
) -> None:
    first = (await listed(api, status="open"))[0]
    async with serving(database) as other_process:
        await listed(other_process)
        answer = await api.post("ops-exceptions-retry", {"exception_id": first["id"]}, api.ops)
        assert answer.json()["status"] == "retrying"
        for process in (api, other_process):
            for headers in (api.ops, api.anonymous):
                assert first["id"] in {row["id"] for row in await listed(process, headers, status="retrying")}
                assert first["id"] not in {row["id"] for row in await listed(process, headers, status="open")}
    row = await admin.fetchrow("select status, source from ops.v_exceptions where id = $1::uuid", first["id"])
    assert row is not None
    assert tuple(row) == ("retrying", "fixtures")
    resolved = (await listed(api, status="resolved"))[0]
    assert (await api.post("ops-exceptions-retry", {"exception_id": resolved["id"]}, api.ops)).status_code == 409


@pytest.mark.parametrize("first", ["list", "retry"])
async def test_fixtures_are_there_without_demo_data(database: str, admin: asyncpg.Connection, first: str) -> None:
    """An installation that was never seeded, and any number of processes that meet it at once."""
    await admin.execute("delete from ops.exceptions")
    fixture = "00005001-0000-4000-8000-000000005001"
    async with serving(database) as api, serving(database) as other_process:
        if first == "retry":
            calls = [api.post("ops-exceptions-retry", {"exception_id": fixture}, api.ops) for _ in range(2)]
            assert [answer.status_code for answer in await asyncio.gather(*calls)] == [200, 200]
        lists = await asyncio.gather(*(listed(server, page_size=100) for server in (api, other_process) * 5))
    assert {len(rows) for rows in lists} == {7}
    assert {row["status"] for row in lists[0] if row["id"] == fixture} == {"retrying" if first == "retry" else "open"}


async def test_live_the_list_is_for_ops_and_gets_no_fixtures(database: str, admin: asyncpg.Connection) -> None:
    await admin.execute("delete from ops.exceptions")
    async with serving(database, switches=LIVE_SWITCHES) as api:
        assert (await api.get("ops-exceptions")).status_code == 401
        assert (await api.get("ops-exceptions", api.ops)).json()["data"] == []
        rpc = await api.http.post(
            "/rest/v1/rpc/list_exceptions",
            json={"p_status": None, "p_page": 1, "p_page_size": 1},
            headers=api.anonymous | {"content-profile": "ops"},
        )
        assert rpc.status_code == 401


async def test_a_fixture_is_not_opened_again_by_the_worker(admin: asyncpg.Connection) -> None:
    before = await admin.fetch("select id, status, attempts from ops.exceptions order by id")
    await admin.execute("update ops.exceptions set updated_at = now() - interval '1 day'")
    assert await admin.fetchval("select ops.reopen_stalled_exceptions()") == 0
    assert await admin.fetch("select id, status, attempts from ops.exceptions order by id") == before


async def test_a_production_database_takes_no_fixtures(admin: asyncpg.Connection) -> None:
    await admin.execute("delete from ops.exceptions")
    await admin.execute("select meta.set_environment('production')")
    with pytest.raises(asyncpg.PostgresError, match="nothing is mocked in it"):
        await admin.execute("select ops.add_fixtures($1)", FIXTURES.read_text())
