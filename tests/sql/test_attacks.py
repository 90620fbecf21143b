"""What a login may make cannot run with another's rights, and nobody but the owner may make anything.

The attack: an object named like one that our SQL uses, where the search_path finds it first, in a function that runs as
the owner. PostgreSQL's manual, "Writing SECURITY DEFINER Functions Safely".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import OPS_USER, as_role
from tests.support.postgres import with_login

STAFF = "mallory"
LOGINS = (STAFF, "web_anon", "web_authenticated", "web_service")
# Where the manual says that objects of a caller can be found.
PATHS = ("public", "mine, pg_temp, pg_catalog", "pg_temp, mine, pg_catalog, public")
TYPES = ("uuid", "text", "jsonb", "json", "date", "timestamptz", "bytea", "name", "int4", "int8", "bool", "interval")
FUNCTIONS = {
    "now()": "timestamptz",
    "gen_random_uuid()": "uuid",
    "clock_timestamp()": "timestamptz",
    "current_setting(text)": "text",
    "current_setting(text, bool)": "text",
    "set_config(text, text, bool)": "text",
    "pg_has_role(text, text, text)": "bool",
    "pg_has_role(name, text, text)": "bool",
    "pg_notify(text, text)": "void",
    "length(text)": "int4",
    "lower(text)": "text",
    "upper(text)": "text",
    "btrim(text)": "text",
    "encode(bytea, text)": "text",
    "format_type(oid, int4)": "text",
    "date_bin(interval, timestamptz, timestamptz)": "timestamptz",
    "array_to_tsvector(text[])": "tsvector",
    "hashtextextended(text, int8)": "int8",
}
OPERATORS = {
    "=": ("uuid", "uuid", "bool"),
    "<>": ("text", "text", "bool"),
    "~": ("text", "text", "bool"),
    "||": ("text", "text", "text"),
    "->>": ("jsonb", "text", "text"),
    "+": ("timestamptz", "interval", "timestamptz"),
}
RELATIONS = (
    "pg_proc",
    "pg_class",
    "pg_attribute",
    "pg_namespace",
    "pg_roles",
    "pg_index",
    "pg_database",
    "events",
    "flags",
)


def objects(schema: str) -> Iterator[tuple[str, str]]:
    """Each kind of object that can stand in a schema, and the statement that makes one there."""
    yield "table", f"create table {schema}.made (id int)"
    yield "view", f"create view {schema}.made as select 1 as id"
    yield "sequence", f"create sequence {schema}.made"
    yield "domain", f"create domain {schema}.made as pg_catalog.uuid check (value is not null)"
    yield "type", f"create type {schema}.made as (id int)"
    yield "function", f"create function {schema}.made() returns int language sql as 'select 1'"
    yield "operator", f"create operator {schema}.+ (function = pg_catalog.text_lt, leftarg = text, rightarg = text)"
    yield "collation", f'create collation {schema}.made from pg_catalog."C"'
    yield "text search", f"create text search configuration {schema}.made (copy = pg_catalog.simple)"


@asynccontextmanager
async def staff(admin: asyncpg.Connection) -> AsyncIterator[None]:
    """A person's login in ops_staff, as docs/operate.md makes one."""
    await admin.execute(f"create role {STAFF} login in role ops_staff password 'of-a-person'")
    try:
        yield
    finally:
        await admin.execute(f"drop owned by {STAFF} cascade")
        await admin.execute(f"drop role {STAFF}")


@asynccontextmanager
async def session(dsn: str, login: str) -> AsyncIterator[asyncpg.Connection]:
    if login == STAFF:
        connection = await asyncpg.connect(with_login(dsn, STAFF, "of-a-person"))
        try:
            yield connection
        finally:
            await connection.close()
        return
    role = {"web_anon": Role.ANONYMOUS, "web_authenticated": Role.USER, "web_service": Role.SERVICE}[login]
    async with as_role(dsn, role, OPS_USER if role is Role.USER else None) as connection:
        yield connection


async def refused(attacker: asyncpg.Connection, statement: str) -> bool:
    try:
        await attacker.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    return False


@pytest.mark.parametrize("login", LOGINS)
async def test_no_login_may_make_an_object_anywhere(database: str, admin: asyncpg.Connection, login: str) -> None:
    async with staff(admin), session(database, login) as attacker:
        schemas = [row[0] for row in await admin.fetch("select nspname from pg_namespace where nspname !~ '^pg_t'")]
        assert {"pg_catalog", "public", "core", "catalog"} <= set(schemas)
        for schema in ("pg_temp", *map('"{}"'.format, schemas)):
            for path in ("", schema):
                await attacker.execute(f"set search_path = {path}" if path else "reset search_path")
                for kind, statement in objects(schema):
                    assert await refused(attacker, statement), (schema, kind)
        for statement in (
            "create temporary table made (id int)",
            "create schema made",
            "create cast (text as int) with inout as implicit",
            "create publication made",
            "create event trigger made on ddl_command_start execute function audit.refuse_change()",
            "select 1 as id into temporary made",
        ):
            assert await refused(attacker, statement), statement


def traps() -> Iterator[str]:
    """Objects of the attacker, in the schema `mine`, that count in `mine.sprung` whenever another role runs them."""
    yield "create sequence mine.sprung"
    yield "grant usage on schema mine to public"
    yield "grant usage on sequence mine.sprung to public"
    yield (
        "create function mine.spring() returns boolean language plpgsql as $$ begin"
        " if current_user <> session_user then perform pg_catalog.nextval('mine.sprung'); end if; return true; end $$"
    )
    for signature, returned in FUNCTIONS.items():
        body = "perform mine.spring(); return" + ("" if returned == "void" else " null")
        made = f"mine.{signature} returns pg_catalog.{returned}"
        yield f"create function {made} language plpgsql as $$ begin {body}; end $$"
    for number, (name, (left, right, returned)) in enumerate(OPERATORS.items()):
        yield (
            f"create function mine.o{number}(pg_catalog.{left}, pg_catalog.{right}) returns pg_catalog.{returned}"
            f" language plpgsql as $$ begin perform mine.spring(); return null; end $$"
        )
        yield (
            f"create operator mine.{name} (function = mine.o{number},"
            f" leftarg = pg_catalog.{left}, rightarg = pg_catalog.{right})"
        )
    for relation in RELATIONS:
        yield f"create view mine.{relation} as select mine.spring() as sprung"
    yield 'create collation mine."C" from pg_catalog."C"'
    for name in TYPES:
        yield f"create domain mine.{name} as pg_catalog.{name} check (mine.spring())"
    yield "create type mine.pair as (a pg_catalog.int4)"
    yield (
        "create function mine.paired(pg_catalog.text) returns mine.pair language plpgsql as"
        " $$ begin perform mine.spring(); return null; end $$"
    )
    yield "create cast (pg_catalog.text as mine.pair) with function mine.paired(pg_catalog.text) as implicit"


def temporary_traps() -> Iterator[str]:
    for name in TYPES:
        yield f"create domain pg_temp.{name} as pg_catalog.{name} check (mine.spring())"
    for relation in RELATIONS:
        yield f"create temporary view {relation} as select mine.spring() as sprung"


CALLS = """
select format('select %s(%s)', p.oid::regproc, (
  select string_agg(case format_type(a.type, null)
    when 'uuid' then quote_literal('11111111-1111-4111-8111-111111111111') || '::pg_catalog.uuid'
    when 'text' then '''USD''::pg_catalog.text'
    when 'bigint' then '25000'
    when 'integer' then '1'
    else format('null::%I.%I', n.nspname, t.typname) end, ', ' order by a.place)
  from unnest(p.proargtypes::oid[]) with ordinality a (type, place) join pg_type t on t.oid = a.type
  join pg_namespace n on n.oid = t.typnamespace))
from pg_proc p
where p.proowner = 'ecotrips_owner'::regrole and p.prokind = 'f' and has_function_privilege($1, p.oid, 'execute')
  and p.prorettype <> 'trigger'::regtype
"""
READS = """
select format('select count(*) from %s', c.oid::regclass) from pg_class c
where c.relowner = 'ecotrips_owner'::regrole and c.relkind in ('r', 'v') and has_table_privilege($1, c.oid, 'select')
"""
WRITES = (
    "insert into core.profiles (auth_user_id, full_name) values (pg_catalog.gen_random_uuid(), 'A Person')",
    "update core.profiles set full_name = 'Another'",
    "update booking.itineraries set status = status",
    "update booking.items set status = status",
)


async def sprung(admin: asyncpg.Connection) -> int:
    count: int = await admin.fetchval("select case when is_called then last_value else 0 end from mine.sprung")
    return count


async def attempted(attacker: asyncpg.Connection, statement: str) -> None:
    """Run a statement, and at its commit the triggers that wait for it. It may be refused."""
    try:
        await attacker.execute(f"begin; {statement}; set constraints all immediate; commit")
    except asyncpg.PostgresError:
        await attacker.execute("rollback")


@asynccontextmanager
async def trapped(dsn: str, admin: asyncpg.Connection, login: str) -> AsyncIterator[None]:
    """The database lets the login make objects, and its traps are laid."""
    name = await admin.fetchval("select current_database()")
    await admin.execute(f'grant temporary on database "{name}" to {login}')
    await admin.execute(f"create schema mine authorization {login}")
    async with session(dsn, login) as attacker:
        for trap in traps():
            await attacker.execute(trap)
        yield


@pytest.mark.parametrize("login", LOGINS)
async def test_what_a_login_made_never_runs_as_another_role(
    database: str, admin: asyncpg.Connection, login: str
) -> None:
    """The second wall, on a database where the first one is missing."""
    async with staff(admin), trapped(database, admin, login):
        statements = [row[0] for kind in (CALLS, READS) for row in await admin.fetch(kind, login)]
        statements += WRITES if login == "web_service" else ()
        assert statements
        for path in PATHS:
            async with session(database, login) as attacker:
                for trap in temporary_traps():
                    await attacker.execute(trap)
                # The second time with what was compiled and planned under the first path.
                for following in (path, "pg_catalog"):
                    await attacker.execute(f"set search_path = {following}")
                    for statement in statements:
                        await attempted(attacker, statement)
                        assert await sprung(admin) == 0, (path, statement)


# Of each kind of object one that a function without a path of its own would run.
CARELESS = {
    "type": "declare v uuid := null; begin end",
    "function": "begin perform now(); end",
    "operator": "begin perform 'a'::pg_catalog.text || 'b'::pg_catalog.text; end",
    "relation": "begin perform * from pg_proc; end",
    "cast": "begin perform ('a'::pg_catalog.text)::pair; end",
}


async def test_the_traps_catch_a_function_without_a_path(database: str, admin: asyncpg.Connection) -> None:
    async with trapped(database, admin, "web_anon"), session(database, "web_anon") as attacker:
        await attacker.execute("set search_path = mine, pg_catalog")
        for kind, body in CARELESS.items():
            before = await sprung(admin)
            made = f"public.careless_{kind}()"
            await admin.execute(
                f"create function {made} returns void security definer language plpgsql as $$ {body} $$"
            )
            await admin.execute(f"grant execute on function {made} to anon")
            await attempted(attacker, f"select {made}")
            assert await sprung(admin) > before, kind
