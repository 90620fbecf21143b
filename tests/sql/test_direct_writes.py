"""Tables that callers write themselves, by /rest/v1 or psql: every such write is on record."""

from __future__ import annotations

import hashlib
import json

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import ITINERARY, as_role

TRAVELLER = "55555555-5555-4555-8555-555555555555"
WRITES = [
    (
        f"insert into core.profiles (auth_user_id, persona, full_name) values ('{TRAVELLER}', 'ops', 'Grace Mukamana')",
        "core.profiles.insert",
        {"auth_user_id_sha256": hashlib.sha256(TRAVELLER.encode()).hexdigest(), "persona": "ops"},
    ),
    (
        f"update booking.itineraries set notes = 'late arrival' where id = '{ITINERARY}'",
        "booking.itineraries.update",
        {"id": ITINERARY, "status": "confirmed"},
    ),
    (
        "insert into booking.suppliers (code, tier, confirmation_hours) values ('KIVU', 'gold', 4)",
        "booking.suppliers.insert",
        {"code": "KIVU"},
    ),
]


@pytest.mark.parametrize(("statement", "what", "told"), WRITES, ids=[what for _, what, _ in WRITES])
async def test_a_write_of_the_service_is_an_event(
    database: str, admin: asyncpg.Connection, statement: str, what: str, told: dict[str, str]
) -> None:
    before = await admin.fetchval("select coalesce(max(id), 0) from audit.events")
    async with as_role(database, Role.SERVICE) as service:
        await service.execute(statement)
    events = await admin.fetch("select who, login, what, payload from audit.events where id > $1", before)
    assert [(event["login"], event["what"]) for event in events] == [("web_service", what)]
    assert json.loads(events[0]["payload"]) == {"rows": 1, "first": [told]}


async def test_a_statement_is_one_event_and_one_without_rows_is_none(admin: asyncpg.Connection) -> None:
    before = await admin.fetchval("select coalesce(max(id), 0) from audit.events")
    await admin.execute("update booking.suppliers set confirmation_hours = 5 where code = 'NOBODY'")
    await admin.execute("delete from booking.itineraries where id = $1", ITINERARY)
    events = await admin.fetch("select what, payload from audit.events where id > $1", before)
    assert [event["what"] for event in events] == ["booking.itineraries.delete"]
    assert json.loads(events[0]["payload"]) == {"rows": 1, "first": [{"id": ITINERARY, "status": "confirmed"}]}


async def test_an_event_names_no_more_than_a_hundred_rows(admin: asyncpg.Connection) -> None:
    made = "select 'S' || n, 'gold', 1 from generate_series(1, 500) n"
    await admin.execute(f"insert into booking.suppliers (code, tier, confirmation_hours) {made}")
    payload = json.loads(await admin.fetchval("select payload from audit.events order by id desc limit 1"))
    assert (payload["rows"], len(payload["first"])) == (500, 100)


async def test_every_table_that_callers_may_write_records_it(admin: asyncpg.Connection) -> None:
    silent = await admin.fetch(
        """
        select c.oid::regclass::text, right_held
        from pg_class c
        cross join unnest(array['insert', 'update', 'delete']) right_held
        where c.relkind in ('r', 'p') and c.relnamespace::regnamespace::text !~ '^pg_|^information_schema$'
          and exists (
            select from unnest(array['anon', 'authenticated', 'service_role', 'ops_staff']) caller
            where has_table_privilege(caller, c.oid, right_held)
              or right_held <> 'delete' and has_any_column_privilege(caller, c.oid, right_held)
          )
          and not exists (
            select from pg_trigger t
            where t.tgrelid = c.oid and t.tgenabled <> 'D' and t.tgfoid = 'audit.record_writes()'::regprocedure
              and t.tgname = 'record_' || right_held
          )
        """
    )
    assert silent == []
