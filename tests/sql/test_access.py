"""Who may use what: every function, table and view of the catalog against one readable table."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

CALLERS = ("anon", "authenticated", "service_role")
TABLE = Path(__file__).parent / "access.txt"

# What a caller's role may do with each object of our schemas, by the catalog's own account.
FUNCTIONS = """
select p.oid::regprocedure::text as name, r.rolname, has_function_privilege(r.oid, p.oid, 'execute') as may
from pg_proc p cross join pg_roles r
where p.proowner = 'ecotrips_owner'::regrole and p.prorettype <> 'trigger'::regtype and r.rolname = any($1)
"""
RELATIONS = """
select c.oid::regclass::text as name, r.rolname, string_agg(privilege, '' order by position) as may
from pg_class c cross join pg_roles r
cross join lateral (values (1, 'r', 'select'), (2, 'a', 'insert'), (3, 'w', 'update'), (4, 'd', 'delete'))
  as p (position, privilege, name)
where c.relowner = 'ecotrips_owner'::regrole and c.relkind in ('r', 'p', 'v', 'm') and r.rolname = any($1)
  and has_table_privilege(r.oid, c.oid, p.name)
group by 1, 2
"""


async def granted(connection: asyncpg.Connection) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in await connection.fetch(FUNCTIONS, CALLERS):
        found.setdefault(row["name"], {})[row["rolname"]] = "x" if row["may"] else "-"
    for row in await connection.fetch(
        "select oid::regclass::text as name from pg_class where relowner = 'ecotrips_owner'::regrole"
        " and relkind in ('r', 'p', 'v', 'm')"
    ):
        found[row["name"]] = {}
    for row in await connection.fetch(RELATIONS, CALLERS):
        found[row["name"]][row["rolname"]] = row["may"]
    return found


def line(name: str, rights: dict[str, str]) -> str:
    return " ".join([f"{name:<100}", *(f"{rights.get(caller, '-'):<13}" for caller in CALLERS)]).rstrip()


async def test_every_object_may_be_used_by_exactly_whom_the_table_says(admin: asyncpg.Connection) -> None:
    """After a wanted change: `python -m tests.sql.access`, and review the difference of access.txt."""
    found = await granted(admin)
    expected = [text for text in TABLE.read_text().splitlines() if text and not text.startswith("#")]
    assert sorted(line(name, rights) for name, rights in found.items()) == sorted(expected)


async def test_a_role_without_rights_is_refused_by_the_server_itself(admin: asyncpg.Connection) -> None:
    tables = [name for name, rights in (await granted(admin)).items() if "anon" not in rights and "(" not in name]
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


async def test_nothing_is_granted_to_public(admin: asyncpg.Connection) -> None:
    open_to_all = await admin.fetch(
        "select p.oid::regprocedure::text from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a"
        " where p.proowner = 'ecotrips_owner'::regrole and a.grantee = 0"
    )
    assert not open_to_all


async def test_row_security_is_on_and_forced_everywhere(admin: asyncpg.Connection) -> None:
    bare = await admin.fetch(
        "select oid::regclass::text from pg_class where relowner = 'ecotrips_owner'::regrole and relkind in ('r', 'p')"
        " and not (relrowsecurity and relforcerowsecurity)"
    )
    assert not bare
