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
    """PostgreSQL's manual, "Writing SECURITY DEFINER Functions Safely". Of every schema, whoever made the function."""
    loose = await admin.fetch(
        "select p.oid::regprocedure::text from pg_proc p"
        " where p.prosecdef and not $1 = any (coalesce(p.proconfig, '{}'))",
        SAFE_PATH,
    )
    assert not loose


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
