"""Whoever has a login chooses the isolation: no change is made by guards that read an old snapshot."""

from __future__ import annotations

import asyncpg
import pytest

from src.logins import login_dsn
from tests.support.postgres import settings
from tests.support.staff import CALLS, MAY_CALL, world

# Whose guards other sessions' commits decide.
GUARDED = {
    "public.execute_privacy_erasure",
    "public.approve_permit_request",
    "public.set_group_status",
    "public.privacy_log_audit",
    "ops.set_flag",
    "fin.seal_ledger",
}
# What changes without an event. Each finds its own row by its key and locks it, so PostgreSQL refuses what was changed
# since the snapshot; what it misses is a turn of the worker's, a cached answer or a count.
WITHOUT_EVENT = {
    "fin.claim_invoices_to_render",
    "inventory.admit_call",
    "inventory.claim_flight",
    "inventory.land_flight",
    "inventory.purge_cache",
    "inventory.release_probe",
    "inventory.write_cache",
    "ops.add_fixtures",
    "ops.claim_idempotency_key",
    "ops.claim_sweep",
    "ops.finish_sweep",
    "ops.keep_first_answer",
    "ops.purge_idempotency_keys",
    "ops.purge_rate_limits",
    "ops.release_idempotency_key",
    "ops.reopen_stalled_exceptions",
    "ops.settle_idempotency_key",
    "ops.take_token",
    "public.claim_privacy_purges",
    "public.increment_counter",
}
WRITERS = r"""
with recursive f as (
  select n.nspname || '.' || p.proname as name, p.prosrc as body,
    exists (select from aclexplode(p.proacl) a where a.grantee <> p.proowner) as granted
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where p.proowner = 'ecotrips_owner'::regrole and p.prokind = 'f'
),
calls as materialized (
  select distinct f.name as caller, callee.name as callee
  from f
  cross join regexp_matches(f.body, '((?:"?[a-z]+"?\.)?[a-z_0-9]+)\(', 'g') called
  join f callee on callee.name in (replace(called[1], '"', ''), 'public.' || called[1]) and callee.name <> f.name
),
reached as (
  select name as caller, name from f where granted
  union
  select r.caller, c.callee from reached r join calls c on c.caller = r.name
)
select caller
from reached join f using (name)
group by caller
having bool_or(body ~* '\m(insert into|update "?[a-z]+"?\.[a-z]+|delete from|execute format)')
  and not bool_or(body ~ 'insert into audit\.events')
"""
# They lock what they read, and their statements that are made of text only read.
READERS = {"public.privacy_erasure_folders", "public.read_privacy_export", "public.find_erased_subject"}


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_what_staff_change_is_refused_in_an_old_snapshot(
    database: str, admin: asyncpg.Connection, isolation: str
) -> None:
    here = await world(admin)
    may_call = {row[0] for row in await admin.fetch(MAY_CALL)}
    staff = await asyncpg.connect(login_dsn(settings(database), "psql_staff"))
    made, refused = [], []
    for name in may_call - WITHOUT_EVENT - READERS:
        await staff.execute(f"begin isolation level {isolation}; select count(*) from ops.flags")
        try:
            await staff.execute(f"select {CALLS[name].format(**here)}")
            if await staff.fetchval("select pg_current_xact_id_if_assigned() is not null"):
                made.append(name)
        except asyncpg.PostgresError as error:
            if getattr(error, "constraint_name", None) == "read_committed":
                refused.append(name)
        await staff.execute("rollback")
    await staff.close()
    assert made == []
    assert set(refused) >= GUARDED


async def test_what_the_service_writes_itself_is_refused_in_an_old_snapshot(admin: asyncpg.Connection) -> None:
    async with admin.transaction(isolation="repeatable_read"):
        with pytest.raises(asyncpg.PostgresError, match="read committed"):
            await admin.execute("insert into booking.suppliers values ('NEW', 'gold', 1)")


async def test_every_function_that_changes_something_writes_an_event(admin: asyncpg.Connection) -> None:
    assert {row[0] for row in await admin.fetch(WRITERS)} == WITHOUT_EVENT | READERS
