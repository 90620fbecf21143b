"""Whoever has a login sets how SQL is read and values are written: nothing that is ours means something else by it."""

from __future__ import annotations

import re

import asyncpg

from src.logins import login_dsn
from tests.support.persons import SECRET, approved, make_person, rows_of
from tests.support.postgres import settings
from tests.support.staff import CALLS, MAY_CALL, REFUSED, world

# A comment, and what means the same under every setting: E'…' with its escapes, '…' without a backslash.
SETTLED = re.compile(r"--[^\n]*|\bE'(?:[^'\\]|\\.|'')*'|(?<![&\w])'[^'\\]*'", re.DOTALL)
UNSETTLED = re.compile(r"\\|\bU&['\"]", re.IGNORECASE)
# Not quote_all_identifiers: under it the data map does not know its types, and an erasure refuses.
HOSTILE = {
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Pacific/Kiritimati",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "xmlbinary": "hex",
    "xmloption": "document",
    "search_path": "pg_temp",
    "default_text_search_config": "pg_catalog.english",
    "gin_fuzzy_search_limit": "1",
    "client_encoding": "SQL_ASCII",
    "plan_cache_mode": "force_generic_plan",
    "plpgsql.check_asserts": "off",
}


async def test_no_text_that_is_parsed_when_it_runs_depends_on_how_backslashes_are_read(
    admin: asyncpg.Connection,
) -> None:
    """`standard_conforming_strings` is any login's own. `return …` and views are parsed when they are made."""
    bodies = await admin.fetch(
        "select p.oid::regprocedure::text as name, prosrc from pg_proc p join pg_language l on l.oid = prolang"
        " where proowner = 'ecotrips_owner'::regrole and lanname in ('sql', 'plpgsql') and prosqlbody is null"
    )
    unsettled = {row["name"] for row in bodies if UNSETTLED.search(SETTLED.sub("", row["prosrc"]))}
    assert unsettled == set()


async def hostile(database: str) -> asyncpg.Connection:
    staff = await asyncpg.connect(login_dsn(settings(database), "psql_staff"))
    for name, value in HOSTILE.items():
        await staff.execute(f"set {name} = '{value}'")
    return staff


async def test_an_erasure_leaves_nothing_whatever_the_session_has_set(database: str, admin: asyncpg.Connection) -> None:
    person = await make_person(admin)
    target = await approved(admin, person)
    staff = await hostile(database)
    await staff.execute(f"select public.plan_privacy_erasure('{target}')")
    await staff.execute(f"select public.execute_privacy_erasure('{target}', 'ERASE', '{SECRET}')")
    await staff.close()
    found = await admin.fetch("select * from find_erased_subject($1, $2)", target, SECRET)
    # The folder is still to be emptied.
    assert [row["table_name"] for row in found if not row["kept"]] == ["purges"]
    rows = await rows_of(admin, person)
    assert {name for name, texts in rows.items() if any(person.word in text for text in texts)} <= {"fin.invoices"}


async def test_a_seal_proves_the_ledger_whatever_the_session_has_set(database: str, admin: asyncpg.Connection) -> None:
    await world(admin)
    staff = await hostile(database)
    assert await staff.fetchval("select entries > 0 from fin.seal_ledger(now())")
    assert await staff.fetch("select * from fin.verify_ledger()") == []
    await staff.close()
    assert await admin.fetch("select * from fin.verify_ledger()") == []


async def test_staff_call_all_that_they_may_whatever_the_session_has_set(
    database: str, admin: asyncpg.Connection
) -> None:
    here = await world(admin)
    staff = await hostile(database)
    failed = {}
    # The plan was made under other settings, and its rows are told by their text.
    for name in {row[0] for row in await admin.fetch(MAY_CALL)} - REFUSED - {"public.execute_privacy_erasure"}:
        await staff.execute("begin; set local search_path = public")
        try:
            await staff.execute(f"select {CALLS[name].format(**here)}")
        except asyncpg.PostgresError as error:
            failed[name] = str(error)
        await staff.execute("rollback")
    await staff.close()
    assert failed == {}


async def test_notes_of_permits_stay_one_line_each(database: str, admin: asyncpg.Connection) -> None:
    permit = await admin.fetchval("select create_permit_request('Akagera', '2099-01-02', 2) ->> 'request_id'")
    staff = await hostile(database)
    await staff.execute("select public.approve_permit_request($1, $2)", permit, "first\nsecond")
    await staff.close()
    note = await admin.fetchval("select note from permits.requests where id::text = $1", permit)
    assert note.endswith("(first second)")
