"""Who may use what: every object of every schema, whoever owns or brought it, against one readable table."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

CALLERS = ("anon", "authenticated", "service_role", "ops_staff")
TABLE = Path(__file__).parent / "access.txt"
OURS = "n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
# What a role may do with an object, by the catalog's own account; nothing where it may not use the schema. Of what an
# extension brings only what somebody may use is worth a line.
OBJECTS = f"""
with rights as (
  select 'schema ' || n.nspname as name, n.oid as schema, false as brought, r.rolname, p.letter,
    has_schema_privilege(r.oid, n.oid, p.name) as may
  from pg_namespace n, pg_roles r, (values ('U', 'usage'), ('C', 'create')) as p (letter, name)
  where {OURS} and r.rolname = any ($1)
  union all
  select p.oid::regprocedure::text, n.oid, exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e'),
    r.rolname, 'x', has_function_privilege(r.oid, p.oid, 'execute')
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace cross join pg_roles r
  where {OURS} and p.prorettype <> 'trigger'::regtype and r.rolname = any ($1)
  union all
  select c.oid::regclass::text, n.oid, exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e'),
    r.rolname, p.letter, has_table_privilege(r.oid, c.oid, p.name)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join pg_roles r
  cross join (values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('d', 'delete'), ('D', 'truncate'),
    ('X', 'references'), ('t', 'trigger')) as p (letter, name)
  where {OURS} and c.relkind in ('r', 'p', 'v', 'm', 'f') and r.rolname = any ($1)
  union all
  select format('sequence %s', c.oid::regclass), n.oid, false, r.rolname, p.letter,
    has_sequence_privilege(r.oid, c.oid, p.name)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join pg_roles r
  cross join (values ('U', 'usage'), ('r', 'select'), ('w', 'update')) as p (letter, name)
  where {OURS} and c.relkind = 'S' and r.rolname = any ($1)
  union all
  select format('%s.%I', c.oid::regclass, a.attname), n.oid, false, r.rolname, p.letter,
    has_column_privilege(r.oid, c.oid, a.attnum, p.name)
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
  cross join pg_roles r
  cross join (values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('X', 'references')) as p (letter, name)
  where {OURS} and a.attacl is not null and r.rolname = any ($1)
)
select name, rolname, string_agg(letter, '' order by letter) filter (
  where may and (name like 'schema %' or has_schema_privilege(rolname, schema, 'usage'))) as may
from rights group by name, rolname, brought
having not brought or name in (
  select o.name from rights o where o.may and has_schema_privilege(o.rolname, o.schema, 'usage'))
"""


async def granted(connection: asyncpg.Connection) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in await connection.fetch(OBJECTS, CALLERS):
        found.setdefault(row["name"], {})[row["rolname"]] = row["may"] or "-"
    return found


def line(name: str, rights: dict[str, str]) -> str:
    return " ".join([f"{name:<100}", *(f"{rights.get(caller, '-'):<13}" for caller in CALLERS)]).rstrip()


async def test_every_object_may_be_used_by_exactly_whom_the_table_says(admin: asyncpg.Connection) -> None:
    """After a wanted change: `python -m tests.support.access`, and review the difference of access.txt."""
    found = await granted(admin)
    expected = [text for text in TABLE.read_text().splitlines() if text and not text.startswith("#")]
    assert sorted(line(name, rights) for name, rights in found.items()) == sorted(expected)


async def test_a_role_without_rights_is_refused_by_the_server_itself(admin: asyncpg.Connection) -> None:
    found = (await granted(admin)).items()
    tables = [name for name, rights in found if rights["anon"] == "-" and re.fullmatch(r'[\w".]+', name)]
    assert tables
    for name in tables:
        async with admin.transaction():
            await admin.execute("set local role anon")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with admin.transaction():
                    await admin.fetch(f"select * from {name} limit 1")


async def test_money_and_audit_tables_are_closed_to_every_caller(admin: asyncpg.Connection) -> None:
    found = await granted(admin)
    for name, rights in found.items():
        if name.startswith(("payment.", "fin.", "audit.")) and "(" not in name:
            assert set("".join(rights.values())) <= {"r", "-"}, name
    assert len(found) > len(CALLERS)


async def test_nothing_is_granted_to_public(admin: asyncpg.Connection) -> None:
    """In a schema that a caller may use, whoever made it."""
    open_to_all = await admin.fetch(
        f"""
        select object from (
          select p.oid::regprocedure::text as object, p.pronamespace as schema, a.grantee
          from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
          union all
          select c.oid::regclass::text, c.relnamespace, a.grantee from pg_class c, aclexplode(c.relacl) a
          union all
          select n.nspname, n.oid, a.grantee from pg_namespace n, aclexplode(n.nspacl) a
        ) objects join pg_namespace n on n.oid = schema
        where grantee = 0 and {OURS} and exists (
          select from pg_roles r where rolname = any ($1) and has_schema_privilege(r.oid, n.oid, 'usage')
        )
        """,
        CALLERS,
    )
    assert not open_to_all


async def test_an_extension_shows_nobody_anything(admin: asyncpg.Connection) -> None:
    """Of those that we install."""
    brought = await admin.fetch(
        "select e.extname from pg_extension e join pg_namespace n on n.oid = e.extnamespace"
        " where n.nspname not in ('pg_catalog', 'ext')"
    )
    assert not brought


async def test_row_security_is_on_and_forced_everywhere(admin: asyncpg.Connection) -> None:
    bare = await admin.fetch(
        "select oid::regclass::text from pg_class where relowner = 'ecotrips_owner'::regrole and relkind in ('r', 'p')"
        " and not (relrowsecurity and relforcerowsecurity)"
    )
    assert not bare
