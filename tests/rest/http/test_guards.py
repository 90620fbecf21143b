"""What is for ops alone is refused to others whatever is asked of it: a refusal that depends on rows tells of them."""

from __future__ import annotations

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import ITINERARY, TRAVELLER, Api, as_role

GUARDED = """
select n.nspname as schema, c.relname as name, a.attname as key, format_type(a.atttypid, null) as type
from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
join pg_index i on i.indrelid = c.oid join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
where p.polname = 'ops_only'
"""
MISSING = {"uuid": "00000000-0000-4000-8000-00000000dead", "text": "nobody", "date": "1999-01-01"}
NUMBERS = {"bigint", "integer", "smallint", "numeric"}


async def test_no_condition_tells_whether_a_row_is_there(api: Api, admin: asyncpg.Connection) -> None:
    await admin.execute("alter role web_authenticated set enable_seqscan = off")
    try:
        found = await admin.fetch(GUARDED)
        assert {(row["schema"], row["name"]) for row in found} >= {("wa", "messages"), ("payment", "payments")}
        for schema, name, key, kind in found:
            there = await admin.fetchval(f'select "{key}"::text from "{schema}"."{name}" limit 1')
            missing = "-1" if kind in NUMBERS else MISSING.get(kind)
            for value in filter(None, (there, missing)):
                asked = {"select": key, key: f"eq.{value}"}
                answer = await api.http.get(f"/rest/v1/{schema}.{name}", params=asked, headers=api.user())
                assert (answer.status_code, answer.json()["message"]) == (403, "Only ops may do this"), (name, asked)
            assert (await api.http.get(f"/rest/v1/{schema}.{name}?limit=1", headers=api.user())).status_code == 403
    finally:
        await admin.execute("alter role web_authenticated reset enable_seqscan")


@pytest.mark.parametrize(
    "path",
    [
        f"/booking.itineraries?select=id,payments(id)&id=eq.{ITINERARY}",
        "/payment.payments?select=id,refunds(id)&limit=1",
        "/payment.payments?select=id&limit=0",
        "/wa.messages?select=id&msisdn=gte.1&msisdn=lt.2&order=msisdn",
    ],
)
@pytest.mark.parametrize("prefer", ["", "count=exact", "count=planned", "count=estimated", "timezone=UTC"])
@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/x-ndjson"])
async def test_nor_does_an_embed_a_count_or_another_way_to_ask(api: Api, path: str, prefer: str, accept: str) -> None:
    answer = await api.http.get(f"/rest/v1{path}", headers={**api.user(), "prefer": prefer, "accept": accept})
    refused = answer.json()
    assert (answer.status_code, refused["code"]) in {(403, "42501"), (400, "PGRST200")}, answer.text


async def test_in_the_database_itself_others_see_nothing(database: str, admin: asyncpg.Connection) -> None:
    await admin.execute("insert into audit.events (who, what, request_id) values ('x', 'x', 'x')")
    async with as_role(database, Role.USER, TRAVELLER) as traveller:
        assert await traveller.fetchval("select count(*) from audit.events") == 0
