"""Who may use what: every object of every schema, whoever owns or brought it, against one readable table."""

from __future__ import annotations

import re

import asyncpg
import pytest

from tests.support.access import CALLERS, OURS, TABLE, granted, line


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
