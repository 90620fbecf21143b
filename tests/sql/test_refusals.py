"""What is for ops alone is refused to others, not shown empty: an empty proof would say that all is well."""

from __future__ import annotations

import asyncpg
import pytest

from src.domain.context import Role
from src.logins import login_dsn
from tests.conftest import TRAVELLER, Api, as_role
from tests.support.postgres import settings, with_login
from tests.support.staff import LOOKED_AT

# What a signed-in user may call and see; all else that is granted to them is for ops, and its comment says so.
THEIR_FUNCTIONS = {
    *("start_checkout", "create_permit_request", "cancel_permit_request", "search_places", "locate_place"),
    *("create_group", "join_group", "create_escrow", "contribute", "cancel_escrow", "set_group_status"),
    *("group_contribution_summary", '"group".my_groups', "create_privacy_request", "ops.keep_first_answer"),
    *("auth.claims", "auth.uid", "sec.session_role", "sec.is_service", "sec.is_ops", "sec.actor", "sec.request_id"),
    *("sec.require_ops", "sec.ops_only", "sec.from_edge", "sec.refuse", "fin.amount"),
    *("sec.count_answer", "sec.bounded_rows", "sec.bounded_cast"),
}
THEIR_RELATIONS = {
    *("catalog.search_index", "core.profiles", "booking.itineraries", "booking.items", "permits.requests"),
    *("privacy.requests", "inventory.holds", '"group".groups', '"group".members', '"group".escrows'),
    *('"group".contributions', '"group".payouts'),
}
GROUP = "77777777-7777-4777-8777-777777777777"
# Each with arguments of the right types: all null, and some that a check of the input would let pass.
CALLABLE = """
select p.oid::regproc::text as name, coalesce(obj_description(p.oid, 'pg_proc'), '') as comment,
  format('select * from %s(%s)', p.oid::regproc, (
    select string_agg(format('null::%s', format_type(a.type, null)), ', ' order by a.place)
    from unnest(p.proargtypes::oid[]) with ordinality a (type, place))) as without,
  format('select * from %s(%s)', p.oid::regproc, (
    select string_agg(format('%L::%s', case format_type(a.type, null)
        when 'uuid' then '11111111-1111-4111-8111-111111111111' when 'text' then 'x' when 'jsonb' then '{}'
        when 'date' then '2026-01-01' when 'boolean' then 'true' when 'timestamp with time zone' then '2026-01-01'
        else '1' end, format_type(a.type, null)), ', ' order by a.place)
    from unnest(p.proargtypes::oid[]) with ordinality a (type, place))) as with_some
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and p.prorettype <> 'trigger'::regtype
  and has_function_privilege('authenticated', p.oid, 'execute')
  and has_schema_privilege('authenticated', n.oid, 'usage')
"""
READABLE = """
select c.oid::regclass::text as name, c.relkind in ('r', 'p') as is_table,
  (select array_agg(distinct pg_get_expr(p.polqual, p.polrelid)) from pg_policy p
    where p.polrelid = c.oid and p.polroles = '{0}' and p.polcmd in ('r', '*') and p.polname <> 'service_writes'
  ) as shown,
  (select array_agg(p.polname::text) from pg_policy p
    where p.polrelid = c.oid and p.polroles = '{0}' and p.polcmd in ('r', '*') and p.polname <> 'service_writes'
  ) as guards
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and has_table_privilege('authenticated', c.oid, 'select') and has_schema_privilege('authenticated', n.oid, 'usage')
"""


async def refused(connection: asyncpg.Connection, statement: str) -> bool:
    try:
        await connection.fetch(statement)
    except asyncpg.InsufficientPrivilegeError as error:
        return error.constraint_name == "ops_only"
    except asyncpg.PostgresError:
        return False
    return False


async def test_a_function_for_ops_refuses_others_whatever_they_send(database: str, admin: asyncpg.Connection) -> None:
    functions = await admin.fetch(CALLABLE)
    assert {row["name"] for row in functions} >= THEIR_FUNCTIONS
    open_to_others = []
    async with as_role(database, Role.USER, TRAVELLER) as traveller:
        for function in functions:
            if function["name"] in THEIR_FUNCTIONS:
                assert not function["comment"].startswith(("Ops:", "Service:")), function["name"]
                continue
            assert function["comment"].startswith("Ops:"), function["name"]
            statements = (function["without"], function["with_some"])
            open_to_others += [statement for statement in statements if not await refused(traveller, statement)]
    assert open_to_others == []


async def test_a_table_or_view_for_ops_refuses_others(database: str, admin: asyncpg.Connection) -> None:
    """A view, empty ones too, by itself. A table shows them nothing, and /rest/v1 refuses it by its policy's name."""
    relations = await admin.fetch(READABLE)
    assert {row["name"] for row in relations} >= THEIR_RELATIONS
    async with as_role(database, Role.USER, TRAVELLER) as traveller:
        for name, is_table, shown, guards in relations:
            if name in THEIR_RELATIONS:
                await traveller.fetch(f"select * from {name}")
            elif is_table:
                assert shown == ["( SELECT sec.is_ops() AS is_ops)"], name
                assert guards == ["ops_only"], name
            else:
                assert await refused(traveller, f"select * from {name}"), name


async def test_what_staff_in_psql_may_call_beyond_users_says_that_it_is_the_services(
    database: str, admin: asyncpg.Connection
) -> None:
    """Whatever they send; and everything that people do as the service is so."""
    called = {row["name"]: row for row in await admin.fetch(CALLABLE.replace("'authenticated'", "'ops_staff'"))}
    services = called.keys() - {row["name"] for row in await admin.fetch(CALLABLE)}
    shown = await admin.fetch("select split_part(call, '(', 1) as name from ops.help where who = 'service'")
    assert services == {row["name"] for row in shown} - LOOKED_AT
    staff = await asyncpg.connect(login_dsn(settings(database), "psql_staff"))
    try:
        for name in services:
            for statement in (called[name]["without"], called[name]["with_some"]):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="Only the service may do this") as found:
                    await staff.fetch(statement)
                assert found.value.constraint_name == "service_only"
                assert "As the service: ecotrips psql --service." in str(found.value.hint)
    finally:
        await staff.close()


@pytest.mark.parametrize(
    "refused",
    [
        "select ops.set_flag('USE_FIXTURES', '0')",
        "select * from ops.v_bookings",
        "select payout_now(null)",
        f"select create_privacy_request('export', '{TRAVELLER}')",
        f"select create_escrow('{GROUP}', 5000, now() + interval '1 day')",
    ],
)
async def test_in_psql_a_refusal_says_which_login_may(database: str, admin: asyncpg.Connection, refused: str) -> None:
    await admin.execute("create role newcomer login in role authenticated password 'of-a-person'")
    await admin.execute("insert into \"group\".groups (id, name) values ($1, 'Gorilla trek')", GROUP)
    newcomer = await asyncpg.connect(with_login(database, "newcomer", "of-a-person"))
    try:
        with pytest.raises(asyncpg.PostgresError) as found:
            await newcomer.execute(refused)
        assert found.value.hint == (
            "newcomer is the login. As ops: ecotrips psql. As the service: ecotrips psql --service."
        )
    finally:
        await newcomer.close()
        await admin.execute("drop role newcomer")


async def test_over_http_a_refusal_has_no_hint(api: Api) -> None:
    answer = await api.http.get("/rest/v1/ops.v_bookings", headers=api.user())
    assert answer.json() == {"code": "42501", "details": None, "hint": None, "message": "Only ops may do this"}
    rpc = await api.http.post("/rest/v1/rpc/payout_now", json={"p_escrow_id": TRAVELLER}, headers=api.user())
    assert rpc.json() == answer.json()
