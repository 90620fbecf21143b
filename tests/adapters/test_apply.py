"""`ecotrips db apply`: once, in order, safe on two hosts, and never over an edited migration."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copytree
from urllib.parse import urlsplit

import asyncpg
import pytest

from src.commands import check_database
from src.database import apply
from src.database.opened import connect
from src.database.roles import LOGINS
from src.domain.context import Role
from src.logins import OPERATORS, STAFF, login_dsn, role_password
from src.settings import OFFLINE_SWITCHES
from tests.conftest import as_role
from tests.support.postgres import JWT_SECRET, Server, settings


@pytest.fixture
async def empty(server: Server) -> AsyncIterator[str]:
    dsn = await server.create()
    yield dsn
    await server.drop(dsn)


@pytest.fixture
def sql(tmp_path: Path) -> Path:
    return copytree(apply.SQL_FOLDER, tmp_path / "sql")


async def run(dsn: str, folder: Path) -> list[str]:
    given = settings(dsn)
    return await apply.apply(dsn, apply.shipped(folder), lambda role: role_password(given, role))


async def test_a_second_run_has_nothing_to_do(empty: str, sql: Path) -> None:
    assert len(await run(empty, sql)) == len(apply.shipped(sql))
    assert await run(empty, sql) == []


async def test_a_copy_of_the_database_loses_its_rights_and_a_run_brings_them_back(empty: str, sql: Path) -> None:
    await run(empty, sql)
    connection = await asyncpg.connect(empty)
    name = await connection.fetchval("select current_database()")
    made = "select has_database_privilege('web_anon', current_database(), 'temporary')"
    assert not await connection.fetchval(made)
    await connection.execute(f'grant temporary on database "{name}" to public')
    assert await connection.fetchval(made)
    assert await run(empty, sql) == []
    assert not await connection.fetchval(made)
    await connection.close()


async def test_an_extension_of_who_restored_the_database_is_moved_too(empty: str, sql: Path) -> None:
    moving = sql / "migrations" / "0028_extension_schema.sql"
    moving.rename(sql / "later.sql")
    search = sql / "functions" / "search.sql"
    now = search.read_text()
    search.write_text(now.replace("ext.", "catalog."))
    await run(empty, sql)
    connection = await asyncpg.connect(empty)
    await connection.execute("drop extension pg_trgm cascade; create extension pg_trgm schema catalog")
    (sql / "later.sql").rename(moving)
    search.write_text(now)
    assert moving.relative_to(sql).as_posix() in await run(empty, sql)
    assert await connection.fetchval("select 'catalog.terms_by_trigram'::regclass is not null")
    assert await connection.fetchval("select to_regproc('catalog.show_trgm') is null")
    assert await connection.fetchval("select to_regproc('ext.show_trgm') is not null")
    await connection.close()


async def test_two_hosts_at_once_apply_it_once(empty: str, sql: Path) -> None:
    first, second = await asyncio.gather(run(empty, sql), run(empty, sql))
    assert sorted([len(first), len(second)]) == [0, len(apply.shipped(sql))]


async def test_who_holds_the_lock_is_named_while_it_is_waited_for(empty: str, sql: Path) -> None:
    await run(empty, sql)
    holder = await asyncpg.connect(empty, server_settings={"application_name": "a stranger"})
    await holder.execute("select pg_advisory_lock($1)", apply.ADVISORY_LOCK)
    reported: asyncio.Queue[str] = asyncio.Queue()
    given = settings(empty)
    waiting = asyncio.create_task(
        apply.apply(empty, apply.shipped(sql), lambda role: role_password(given, role), reported.put_nowait)
    )
    assert await reported.get() == f"waiting for process {holder.get_server_pid()} of postgres (a stranger)"
    await holder.close()
    assert await waiting == []


OPEN_READ = "begin; select count(*) from payment.payments"


async def apply_beside(dsn: str, sql: Path, reported: list[str], *, production: bool = False) -> None:
    given, files = settings(dsn), apply.shipped(sql)
    await apply.apply(dsn, files, lambda role: role_password(given, role), reported.append, production=production)


async def test_who_has_a_table_open_is_named_and_keeps_no_request_waiting(
    empty: str, sql: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "LOCK_ATTEMPTS", 4)
    await run(empty, sql)
    policies = sql / "policies.sql"
    policies.write_text(policies.read_text() + "\n-- another release\n")
    staff = await asyncpg.connect(login_dsn(settings(empty), OPERATORS[STAFF]))
    await staff.execute(OPEN_READ)
    reported: list[str] = []
    applying = asyncio.create_task(apply_beside(empty, sql, reported))
    service = await asyncpg.connect(login_dsn(settings(empty), "web_service"))
    longest = 0.0
    while not applying.done():
        began = asyncio.get_running_loop().time()
        await service.execute("select from payment.payments limit 1")
        longest = max(longest, asyncio.get_running_loop().time() - began)
        await asyncio.sleep(0.01)
    who = (
        rf"psql_staff \(pid {staff.get_server_pid()}, idle in transaction since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)"
    )
    line = rf"policies\.sql: {who} holds a lock that it needs: end that, and apply again"
    with pytest.raises(apply.ApplyError, match=f"^{line}$"):
        await applying
    assert re.fullmatch(f"policies\\.sql waits for {who}", reported[-1])
    assert longest < 2
    await service.close()
    await staff.close()
    assert "policies.sql" in await run(empty, sql)


HELD = {
    "alter role psql_staff password 'mine'": "roles.sql",
    "alter role psql_staff set work_mem = '5MB'": "roles.sql",
    "alter database {database} connection limit 50": "database.sql",
    "lock table meta.applied": "meta.applied",
    "lock table meta.releases": "meta.applied",
    "lock table ops.switch_defaults": "ops.switch_defaults",
    "lock table privacy.service_key": "privacy.service_key",
}


@pytest.mark.parametrize("statement", HELD)
async def test_whatever_somebody_holds_they_are_named_and_nothing_waits_without_end(
    empty: str, sql: Path, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a role's row, which its own login locks when it changes its password or a setting."""
    monkeypatch.setattr(apply, "LOCK_ATTEMPTS", 2)
    monkeypatch.setattr(apply, "ATTEMPTS", 2)
    await run(empty, sql)
    given = settings(empty)
    login = login_dsn(given, OPERATORS[STAFF]) if "psql_staff" in statement else empty
    holder = await asyncpg.connect(login)
    await holder.execute(f"begin; {statement.format(database=urlsplit(empty).path[1:])}")
    reported: list[str] = []

    async def again() -> None:
        await apply.apply(
            empty,
            apply.shipped(sql),
            lambda role: role_password(given, role),
            reported.append,
            switches=dict(OFFLINE_SWITCHES),
            privacy_secret=JWT_SECRET,
        )

    who = rf"\w+ \(pid {holder.get_server_pid()}, idle in transaction since .*\)"
    async with asyncio.timeout(20):
        with pytest.raises(apply.ApplyError, match=f"^{HELD[statement]}: {who} holds a lock that it needs"):
            await again()
    assert re.fullmatch(f"{HELD[statement]} waits for {who}", reported[-1])
    if statement.startswith("alter"):
        async with asyncio.timeout(20):
            with pytest.raises(apply.ApplyError, match=who):
                await apply.make_roles(empty, lambda role: role_password(given, role))
    await holder.close()
    await again()


async def test_who_ends_meanwhile_is_waited_for(empty: str, sql: Path) -> None:
    await run(empty, sql)
    reader = await asyncpg.connect(empty)
    # Nobody is production's while somebody still reads what it was.
    await reader.execute("begin; select meta.is_production()")
    reported: list[str] = []
    applying = asyncio.create_task(apply_beside(empty, sql, reported, production=True))
    while not any(line.startswith("meta.set_environment waits for postgres (pid ") for line in reported):
        assert not applying.done()
        await asyncio.sleep(0.05)
    await reader.execute("commit")
    await applying
    assert await reader.fetchval("select meta.is_production()")
    await reader.close()


async def test_every_role_says_what_it_is_for(admin: asyncpg.Connection) -> None:
    untold = "select array_agg(r) from unnest($1::regrole[]) r where shobj_description(r, 'pg_authid') is null"
    roles = [*LOGINS, "ecotrips_owner", "anon", "authenticated", "service_role", "ops_staff"]
    assert await admin.fetchval(untold, roles) is None


async def test_who_holds_the_lock_and_may_not_apply_is_named(
    database: str, admin: asyncpg.Connection, sql: Path
) -> None:
    # As where no superuser applied.
    await admin.execute("grant execute on function pg_advisory_lock(bigint) to public")
    staff = await asyncpg.connect(login_dsn(settings(database), OPERATORS[STAFF]))
    await staff.execute("select pg_advisory_lock($1)", apply.ADVISORY_LOCK)
    pid = staff.get_server_pid()
    with pytest.raises(apply.ApplyError, match=rf"^psql_staff holds the lock .* pg_terminate_backend\({pid}\)$"):
        await run(database, sql)
    await staff.close()
    assert await run(database, sql) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("set local_preload_libraries = 'nix'", "local_preload_libraries"),
        ("set search_path = evil", "search_path"),
        ("set idle_in_transaction_session_timeout = 0", "idle_in_transaction_session_timeout"),
        ("in database {database} set role = 'anon'", "role"),
        ("in database {database} set default_transaction_read_only = on", "default_transaction_read_only"),
        ("in database postgres set work_mem = '1GB'", None),
        ("reset all", "idle_in_transaction_session_timeout"),
        ("password 'mine'", None),
    ],
)
@pytest.mark.parametrize("login", ["psql_staff", "psql_service", "web_anon"])
async def test_what_a_login_changed_of_itself_is_taken_back(
    database: str, admin: asyncpg.Connection, login: str, change: str, named: str | None
) -> None:
    set_now = (
        "select r.rolname, s.setdatabase, s.setconfig from pg_db_role_setting s join pg_roles r on r.oid = setrole"
    )
    passwords = "select rolpassword from pg_authid where rolname = $1"
    before = await admin.fetch(f"{set_now} order by 1, 2")
    shut_out = await asyncpg.connect(login_dsn(settings(database), login))
    await shut_out.execute(f"alter role {login} {change.format(database=urlsplit(database).path[1:])}")
    chosen = await admin.fetchval(passwords, login)
    await shut_out.close()
    checked = await connect(database)
    told = {verdict.part: verdict async for verdict in check_database.verdicts(checked)}["logins"]
    assert told.well == (named is None)
    assert f"{login}: {named}" in told.detail or named is None
    assert await run(database, apply.SQL_FOLDER) == []
    told = {verdict.part: verdict async for verdict in check_database.verdicts(checked)}["logins"]
    assert told.well
    await checked.close()
    assert await admin.fetch(f"{set_now} order by 1, 2") == before
    assert await admin.fetchval(passwords, login) != chosen
    back = await asyncpg.connect(login_dsn(settings(database), login))
    assert await back.fetchval("select current_user") == login
    await back.close()


@pytest.mark.parametrize("login", OPERATORS.values())
async def test_who_has_a_login_of_psql_does_not_take_all_sessions(database: str, login: str) -> None:
    dsn = login_dsn(settings(database), login)
    opened = [await asyncpg.connect(dsn) for _ in range(20)]
    with pytest.raises(asyncpg.TooManyConnectionsError, match="for role"):
        await asyncpg.connect(dsn)
    for connection in opened:
        await connection.close()


async def test_what_a_release_finds_on_the_way_to_the_next_and_back(empty: str, sql: Path) -> None:
    """Its processes go on, and start, on the next one's SQL; those of the next one wait for it to be whole."""
    functions, later = sql / "functions" / "audit.sql", sql / "migrations" / "9999_later.sql"
    first, text = apply.digest(apply.shipped(sql)), functions.read_text()
    await run(empty, sql)
    connection = await asyncpg.connect(empty)

    async def found(*digests: str) -> list[str]:
        return [await connection.fetchval(apply.RELEASE_STATUS, digest) for digest in digests]

    functions.write_text(f"{text}\n")
    second = apply.digest(apply.shipped(sql))
    assert await found(first, second) == ["same", "differs"]
    policies = sql / "policies.sql"
    fit = policies.read_text()
    policies.write_text("select 1 / 0;")
    with pytest.raises(apply.ApplyError, match="division by zero"):
        await run(empty, sql)
    assert await found(first, second) == ["between", "differs"]
    policies.write_text(fit)
    assert await run(empty, sql) == ["policies.sql", "grants.sql"]
    assert await run(empty, sql) == []
    assert await found(first, second) == ["before", "same"]
    # Back again, as no migration came.
    functions.write_text(text)
    await run(empty, sql)
    assert await found(first, second) == ["same", "differs"]
    # With one it is the code alone that goes back.
    later.write_text("create table permits.later (id int);")
    await run(empty, sql)
    third = apply.digest(apply.shipped(sql))
    later.unlink()
    with pytest.raises(apply.ApplyError, match="of a later release"):
        await run(empty, sql)
    assert await found(first, third) == ["before", "same"]
    later.write_text("create table permits.later (id int);")
    functions.write_text(f"{text}\n\n")
    await run(empty, sql)
    assert await found(first, third, apply.digest(apply.shipped(sql))) == ["differs", "before", "same"]
    await connection.close()


async def test_an_edited_migration_is_refused(empty: str, sql: Path) -> None:
    await run(empty, sql)
    edited = next((sql / "migrations").glob("0002_*.sql"))
    edited.write_text(edited.read_text() + "\nselect 1;\n")
    with pytest.raises(apply.ApplyError, match=r"0002_.* was edited after it was applied"):
        await run(empty, sql)


async def test_a_release_before_the_databases_changes_nothing(empty: str, sql: Path) -> None:
    later = sql / "migrations" / "9999_later.sql"
    later.write_text("create table permits.later (id int);")
    await run(empty, sql)
    later.unlink()
    functions = sql / "functions" / "audit.sql"
    functions.write_text(f"{functions.read_text()}\n")
    with pytest.raises(apply.ApplyError, match=r"of a later release \(migrations/9999_later\.sql\)"):
        await run(empty, sql)
    later.write_text("create table permits.later (id int);")
    assert await run(empty, sql) == ["functions/audit.sql", "policies.sql", "grants.sql"]


async def test_a_changed_function_is_applied_again_with_its_grants(empty: str, sql: Path) -> None:
    await run(empty, sql)
    changed = sql / "functions" / "audit.sql"
    changed.write_text(changed.read_text() + "\ncomment on function audit.refuse_change() is 'Changed.';\n")
    assert await run(empty, sql) == ["functions/audit.sql", "policies.sql", "grants.sql"]


async def test_a_function_with_a_new_parameter_replaces_the_one_without(empty: str, sql: Path) -> None:
    await run(empty, sql)
    changed = sql / "functions" / "permits.sql"
    text = changed.read_text()
    assert "permits.one_line(p_text text)" in text
    text = text.replace("permits.one_line(p_text text)", "permits.one_line(p_text text, p_most int default 500)")
    changed.write_text(text.replace("permits.one_line(text)", "permits.one_line(text, int)"))
    await run(empty, sql)
    connection = await asyncpg.connect(empty)
    found = await connection.fetch("select oid::regprocedure::text from pg_proc where proname = 'one_line'")
    assert [row[0] for row in found] == ["permits.one_line(text,integer)"]
    await connection.close()


async def test_a_failing_file_leaves_nothing_of_itself_and_is_named(empty: str, sql: Path) -> None:
    (sql / "migrations" / "9999_broken.sql").write_text("create table meta.half (id int); select 1 / 0;")
    with pytest.raises(apply.ApplyError, match=r"migrations/9999_broken\.sql: division by zero"):
        await run(empty, sql)
    connection = await asyncpg.connect(empty)
    assert await connection.fetchval("select to_regclass('meta.half')") is None
    assert await connection.fetchval("select to_regclass('payment.payments')") is not None
    await connection.close()


async def test_the_database_knows_the_digest_of_what_was_applied(empty: str, sql: Path) -> None:
    await run(empty, sql)
    connection = await asyncpg.connect(empty)
    assert await connection.fetchval(apply.DIGEST_OF_DATABASE) == apply.digest(apply.shipped(sql))
    await connection.close()


async def test_a_file_that_comes_between_or_goes_leaves_the_digest_right(empty: str, sql: Path) -> None:
    await run(empty, sql)
    between = sql / "functions" / "audit_more.sql"
    for change in (lambda: between.write_text("select 1;"), between.unlink):
        change()
        await run(empty, sql)
        connection = await asyncpg.connect(empty)
        found = await connection.fetchval(apply.DIGEST_OF_DATABASE)
        await connection.close()
        assert found == apply.digest(apply.shipped(sql))


async def test_the_login_roles_cannot_become_another_role(database: str) -> None:
    async with as_role(database, Role.ANONYMOUS) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("set role service_role")


async def test_another_privacy_secret_is_told_and_found(database: str) -> None:
    old, new = "a" * 32, "b" * 32

    async def given(secret: str) -> list[str]:
        told: list[str] = []
        made = settings(database)
        await apply.apply(
            database, apply.shipped(), lambda role: role_password(made, role), told.append, privacy_secret=secret
        )
        return told

    async with as_role(database, Role.SERVICE) as service:

        async def found(secret: str) -> bool | None:
            kept = await service.fetchval("select privacy.service_key_id()")
            return check_database.privacy_key(kept, secret).well

        await given(old)
        assert (await given(old), await found(old), await found(new)) == ([], True, False)
        [line] = await given(new)
        assert re.fullmatch(r"erasures are made under key [0-9a-f]{16} from now on \(before: [0-9a-f]{16}\)", line)
        assert (await given(new), await found(old), await found(new)) == ([], False, True)


async def test_a_database_of_another_encoding_is_refused_first(server: Server, sql: Path) -> None:
    dsn = server.url(f"latin_{os.getpid()}")
    name = urlsplit(dsn).path[1:]
    await server.execute(f"create database {name} encoding 'LATIN1' locale 'C' template template0")
    try:
        with pytest.raises(
            apply.ApplyError, match="the database's encoding is LATIN1: make it anew with encoding 'UTF8'"
        ):
            await run(dsn, sql)
    finally:
        await server.drop(dsn)
