"""ops.help lists what people call, and nothing that only our own processes do."""

from __future__ import annotations

import re

import asyncpg
import pytest

from tests.support.endpoints import declared
from tests.support.guides import blocks
from tests.support.staff import LOOKED_AT

CALLABLE = """
select p.oid::regproc::text as name, n.nspname || '.' || p.proname as path,
  obj_description(p.oid, 'pg_proc') as comment, has_function_privilege('authenticated', p.oid, 'execute') as users
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where p.proowner = 'ecotrips_owner'::regrole and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
  and has_function_privilege('service_role', p.oid, 'execute')
"""
# How a comment begins: by who calls the function.
WHO = re.compile(
    r"(Ops|Service|Internal|Any caller|Any user|A user|A member|The (group's )?owner|Members of the group"
    r"|The traveller who asked)( and ops|,? or ops( for one)?| for themself, the service for anyone)?: \S"
)
# Steps of an endpoint that nobody takes by themself.
STEPS = {"public.find_hold", "public.claim_payouts", "public.expire_escrows", "public.request_escrow_refunds"}


async def helped(admin: asyncpg.Connection) -> dict[str, asyncpg.Record]:
    return {row["call"].partition("(")[0]: row for row in await admin.fetch("select * from ops.help")}


async def test_a_comment_says_who_calls_the_function(admin: asyncpg.Connection) -> None:
    for row in await admin.fetch(CALLABLE):
        assert WHO.match(row["comment"]), (row["name"], row["comment"])


async def test_what_an_endpoint_does_is_there_and_what_the_service_does_by_itself_is_not(
    admin: asyncpg.Connection,
) -> None:
    shown = await helped(admin)
    fronted = {function for endpoint in declared() for function in endpoint.functions}
    for row in await admin.fetch(CALLABLE):
        name, path = row["name"], row["path"]
        assert (name in shown) is not row["comment"].startswith("Internal: "), name
        if path in fronted - STEPS or path in LOOKED_AT:
            assert name in shown, f"{name} is what people call: its comment begins with Service: or Ops:"
        elif not row["users"]:
            assert name not in shown, f"{name} is the service's own: its comment begins with Internal:"


async def test_everything_in_the_operators_guide_is_there(admin: asyncpg.Connection) -> None:
    shown = await helped(admin)
    text = "\n".join(blocks("docs/operate.md", "sql"))
    names = {row["name"] for row in await admin.fetch(CALLABLE)}
    used = {name for name in names if re.search(rf"(?<![\w.\"]){re.escape(name)}\(", text)}
    assert len(used) > 20
    assert used <= shown.keys()


async def test_a_task_is_found_by_a_word_of_it(admin: asyncpg.Connection) -> None:
    found = await admin.fetch("select call, who from ops.help where task like '%refund%'")
    who = {row["call"].partition("(")[0]: row["who"] for row in found}
    assert who["request_refund"] == "service"
    assert who["request_itinerary_refund"] == "ops"
    assert (await helped(admin))["search_places"]["who"] == "anyone"
    assert not who.keys() & {"record_refund", "claim_due_refunds"}


async def test_it_fits_into_a_hundred_columns(admin: asyncpg.Connection) -> None:
    rows = await admin.fetch("select task, call, who from ops.help")
    # psql pads each column by a blank on both sides and separates them by a bar.
    widest = [max(len(line) for row in rows for line in row[column].split("\n")) + 2 for column in range(3)]
    assert sum(widest) + 2 <= 100
    text = " ".join(row["task"] for row in rows).replace("\n", " ")
    assert "asks for a refund of a captured payment, all that is left without an amount." in text


async def test_a_call_names_every_argument(admin: asyncpg.Connection) -> None:
    call = (await helped(admin))["send_message"]["call"]
    assert " ".join(call.split()) == (
        "send_message(p_type text, p_recipient text, p_text text = NULL, p_url text = NULL, p_template jsonb = NULL,"
        " p_link_template text = NULL, p_claimed boolean = false)"
    )


async def test_every_schema_has_a_comment(admin: asyncpg.Connection) -> None:
    silent = await admin.fetch(
        "select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'"
        " and obj_description(oid, 'pg_namespace') is null"
    )
    assert not silent


@pytest.mark.parametrize(
    "comment", ["'Service: sweeps something.'", "'Sweeps something.'", "'Internal, sweeps something.'"]
)
async def test_a_new_function_of_the_worker_without_its_mark_is_found(admin: asyncpg.Connection, comment: str) -> None:
    await admin.execute(
        "set role ecotrips_owner; create function public.sweep_new() returns int language sql return 1;"
        f"comment on function public.sweep_new() is {comment};"
        "grant execute on function public.sweep_new() to service_role; reset role"
    )
    with pytest.raises(AssertionError):
        await test_what_an_endpoint_does_is_there_and_what_the_service_does_by_itself_is_not(admin)
