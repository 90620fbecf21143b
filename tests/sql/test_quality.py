"""What every SQL function must be, asked of the catalog."""

from __future__ import annotations

import os

import asyncpg
import pytest

OURS = "p.proowner = 'ecotrips_owner'::regrole and p.prokind = 'f'"


async def test_every_function_has_a_comment(admin: asyncpg.Connection) -> None:
    silent = await admin.fetch(
        f"select p.oid::regprocedure::text from pg_proc p where {OURS} and obj_description(p.oid, 'pg_proc') is null"
    )
    assert not silent


# Left out, pg_temp is searched first, and a type of that name there runs with the function's rights.
SAFE_PATH = "search_path=pg_catalog, pg_temp"


async def test_a_function_with_anothers_rights_looks_in_pg_catalog_first_and_pg_temp_last(
    admin: asyncpg.Connection,
) -> None:
    """PostgreSQL's manual, "Writing SECURITY DEFINER Functions Safely". Of every schema, whoever made the function.

    A trigger waits for the commit where it is deferred: it then runs as the role that wrote the row (since PostgreSQL
    18), under whatever search_path the session has by then.
    """
    loose = await admin.fetch(
        "select p.oid::regprocedure::text from pg_proc p"
        " where (p.prosecdef or p.prorettype in ('trigger'::regtype, 'event_trigger'::regtype))"
        " and p.prolang not in (select oid from pg_language where lanname in ('internal', 'c'))"
        " and not $1 = any (coalesce(p.proconfig, '{}'))",
        SAFE_PATH,
    )
    assert not loose


async def test_no_search_path_changes_what_a_statement_of_anybody_reaches(admin: asyncpg.Connection) -> None:
    """What others may call, and what policies, views, defaults, checks and indexes call in their statements.

    Such a function has a path of its own, or a body that was parsed when it was made (`return …`, `begin atomic`); so
    has what that body calls. All others run only inside of those.
    """
    loose = await admin.fetch(
        f"""
        select p.oid::regprocedure::text from pg_proc p
        where {OURS} and p.prosqlbody is null and not $1 = any (coalesce(p.proconfig, '{{}}')) and (
          exists (
            select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee <> p.proowner
          )
          or exists (select from pg_depend d where d.refclassid = 'pg_proc'::regclass and d.refobjid = p.oid)
        )
        """,
        SAFE_PATH,
    )
    assert not loose


async def test_nobody_but_the_owners_makes_objects(admin: asyncpg.Connection) -> None:
    """Of every role but superusers, the database's owner and ours: no temporary object, no schema, none in a schema."""
    others = "rolname not like 'pg\\_%' and not rolsuper and rolname <> 'ecotrips_owner' and d.datdba <> r.oid"
    makers = await admin.fetch(
        f"""
        select rolname, 'the database' as place from pg_roles r, pg_database d
        where datname = current_database() and {others} and has_database_privilege(r.oid, d.oid, 'create, temporary')
        union all
        select rolname, nspname from pg_roles r, pg_database d, pg_namespace n
        where datname = current_database() and {others} and has_schema_privilege(r.oid, n.oid, 'create')
        """
    )
    assert not makers
    to_public = await admin.fetch(
        "select privilege_type from pg_database d, aclexplode(d.datacl) a"
        " where datname = current_database() and a.grantee = 0 order by 1"
    )
    assert [row[0] for row in to_public] == ["CONNECT"]


async def test_no_function_waits_for_a_lock_that_any_login_may_hold(admin: asyncpg.Connection) -> None:
    """Advisory locks are everybody's where no superuser applied; tables and rows are locked by who may write them."""
    held_up = await admin.fetch(
        f"select p.oid::regprocedure::text from pg_proc p where {OURS} and p.prosrc ~ 'pg_(try_)?advisory'"
    )
    assert not held_up


async def test_views_run_with_the_rights_of_their_reader(admin: asyncpg.Connection) -> None:
    definers = await admin.fetch(
        "select oid::regclass::text from pg_class where relowner = 'ecotrips_owner'::regrole and relkind = 'v'"
        " and not coalesce(array_to_string(reloptions, ',') ~ 'security_invoker=true', false)"
    )
    assert not definers


async def test_plpgsql_check_finds_nothing(admin: asyncpg.Connection) -> None:
    available = await admin.fetchval("select exists (select from pg_available_extensions where name = 'plpgsql_check')")
    if not available:
        # CI runs this on Debian's PostgreSQL, which has the extension; the embedded one lacks it.
        assert not (os.environ.get("CI") and os.environ.get("POSTGRES_BIN")), "plpgsql_check is not installed"
        pytest.skip("plpgsql_check is not installed for this server")
    await admin.execute("create extension plpgsql_check")
    found = await admin.fetch(
        f"""
        select p.oid::regprocedure::text as function, c.level, c.message, c.statement, c.lineno
        from pg_proc p
        left join pg_trigger t on t.tgfoid = p.oid
        cross join lateral plpgsql_check_function_tb(
          p.oid, coalesce(t.tgrelid, 0), all_warnings => true, fatal_errors => false,
          oldtable => t.tgoldtable, newtable => t.tgnewtable
        ) c
        where {OURS} and p.prolang = (select oid from pg_language where lanname = 'plpgsql')
          and (p.prorettype <> 'trigger'::regtype or t.oid is not null)
          and c.level in ('error', 'warning', 'warning extra', 'security')
        """
    )
    assert [dict(row) for row in found] == []
