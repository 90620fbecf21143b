"""Backup and restore: whole or not there, whatever fails in between; proved; from every release to every later one."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import product
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from src.adapters.postgres.seed import seed_demo, seed_volume
from src.database import apply
from src.database.embedded import EmbeddedPostgres, binaries, running
from src.logins import OPERATORS, STAFF, login_dsn, role_password
from tests.conftest import serving
from tests.servers import RELEASES, programs
from tests.support.access import granted
from tests.support.cluster import execute, server, start_again
from tests.support.disks import disk
from tests.support.persons import make_person
from tests.support.postgres import JWT_SECRET, Server, settings, with_login
from tests.support.processes import TIMEOUT, descendants, ecotrips, environment, wait_until_gone

TABLES = """
select format('select %L as name, count(*) as rows from %s', oid::regclass, oid::regclass) as statement from pg_class
where relkind = 'r' and relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
"""
OWNERS = """
select oid::regclass::text as name, relowner::regrole::text as owner from pg_class
where relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
"""
WAITS = """
select count(*) from pg_stat_activity where application_name = 'ecotrips-backup' and wait_event_type = 'Lock'
"""
YESTERDAYS = b"PGDMP of yesterday"


def db(folder: Path, dsn: str, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return ecotrips(folder, "db", *arguments, DATABASE_URL=dsn, **changes)


def backup(folder: Path, dsn: str, file: str = "dump", **changes: str) -> str:
    """What is said when all goes well."""
    done = db(folder, dsn, "backup", file, **changes)
    assert done.returncode == 0, done.stderr
    return done.stdout


def restore(folder: Path, dsn: str, file: str = "dump", **changes: str) -> str:
    done = db(folder, dsn, "restore", file, **changes)
    assert done.returncode == 0, done.stderr
    return done.stderr


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# What db apply writes by its environment, also when it restores.
OF_ITS_ENVIRONMENT = {"ops.switch_defaults", "privacy.service_key"}


async def counts(dsn: str) -> dict[str, int]:
    """The rows of every table of a backup, as a superuser sees them: switches of psql are the environment's own."""
    connection = await asyncpg.connect(dsn)
    statements = [row["statement"] for row in await connection.fetch(TABLES)]
    found = await connection.fetch(" union all ".join(statements)) if statements else []
    await connection.close()
    return {row["name"]: row["rows"] for row in found if row["name"] not in OF_ITS_ENVIRONMENT}


async def paid(dsn: str, many: int) -> list[UUID]:
    """So many new payments that are captured, by the books as well."""
    await seed_volume(dsn, many, lambda _done: None)
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("select id from payment.payments where captured_cents > 0 order by created_at desc")
    await connection.close()
    return [row["id"] for row in rows[:many]]


async def state(dsn: str) -> object:
    """What a copy has to have in common with its original."""
    connection = await asyncpg.connect(dsn)
    try:
        return (
            await counts(dsn),
            await granted(connection),
            {row["name"]: row["owner"] for row in await connection.fetch(OWNERS)},
            await connection.fetchval(apply.DIGEST_OF_DATABASE),
            await connection.fetchval("select count(*) from fin.verify_ledger()"),
            await connection.fetchval(
                "select has_database_privilege('public', current_database(), 'create, temporary')"
            ),
            await connection.fetchval("select has_schema_privilege('public', 'public', 'create, usage')"),
        )
    finally:
        await connection.close()


@pytest.fixture
async def empty(server: Server) -> AsyncIterator[str]:
    dsn = await server.create()
    yield dsn
    await server.drop(dsn)


async def test_a_copy_is_the_original(database: str, admin: asyncpg.Connection, empty: str, tmp_path: Path) -> None:
    await make_person(admin)
    await seed_volume(database, 20, lambda _done: None)
    await admin.execute("select fin.seal_ledger(now())")
    said = await asyncio.to_thread(backup, tmp_path, database)
    found = await counts(database)
    assert f"({sum(found.values()):,} rows, " in said
    told = await asyncio.to_thread(restore, tmp_path, empty)
    assert f"{sum(found.values()):,} rows restored" in told
    assert await state(empty) == await state(database)
    assert await admin.fetchval("select count(*) from fin.checkpoints") == 1
    assert (await asyncio.to_thread(db, tmp_path, empty, "apply")).stdout == "up to date\n"
    again = await asyncio.to_thread(db, tmp_path, empty, "restore", "dump")
    assert (again.returncode, again.stderr) == (1, "ecotrips: the database is not empty: restore into a new one\n")


ODD = r"""
create schema "Odd "" schema, (x)";
create table "Odd "" schema, (x)"."ta.ble" (
  "from" int generated always as identity primary key, "a""b" text, "c,d (e)" bytea,
  made int generated always as (7) stored
);
insert into "Odd "" schema, (x)"."ta.ble" ("a""b", "c,d (e)") values
  (E'\\.\n\\.\n', 'x'), (E'COPY a.b (c) FROM stdin;\n', null), (E'tab\there\rand\x01', E'\\\\000'),
  (repeat('long ', 300000), ''),
  (E'-- Name: a; Type: TABLE; Schema: b; Owner: -\n', ''), (E'\\restrict abc\n', '');
create table public.nothing ();
insert into public.nothing default values;
create unlogged table public.kept_too as select generate_series(1, 3) as n;
create table public.parted (n int) partition by list (n);
create table public.part partition of public.parted for values in (1);
insert into public.parted values (1);
create function public.odd() returns text language plpgsql as $f$
begin
  -- Name: nothing
  -- SET a = 1;
  return 'ALTER TABLE x OWNER TO y;
SET statement_timeout = 7;
';
end $f$;
create event trigger watched on ddl_command_end execute function public.watch();
create publication told for all tables;
comment on schema public is 'ours';
"""
# What looks like the archive's own lines.
LIKE_AN_ARCHIVES = r"""
create schema lines;
create table lines.parent (a int);
create table lines.child () inherits (lines.parent);
insert into lines.parent values (1);
insert into lines.child values (2), (3);
create function lines.rows() returns text language sql as $$ select 'a
COPY lines.parent (a) FROM stdin;
b' $$;
create function lines.entry() returns text language plpgsql as $body$ begin
--
-- Name: x; Type: TABLE; Schema: y; Owner: z
--
return 'it''s $$ "
\restrict abc
kept'; end $body$;
create view lines.seen as select E'a\n\\restrict b\n-- Name: x; Type: TABLE; Schema: y; Owner: z\n'
  || E'COPY a (b) FROM stdin;\n\'' as text;
comment on view lines.seen is '/* $a$
COPY lines.parent (a) FROM stdin;
-- it''s open';
"""
TEXTS = (
    "select pg_get_functiondef('lines.rows()'::regprocedure)",
    "select pg_get_functiondef('lines.entry()'::regprocedure)",
    "select text from lines.seen",
    "select obj_description('lines.seen'::regclass)",
)
WATCH = "create function public.watch() returns event_trigger language plpgsql as 'begin end'"
CONTENT = """select array_agg(t::text order by t."from") from "Odd "" schema, (x)"."ta.ble" t"""


async def test_whatever_its_names_and_values_are(
    database: str, admin: asyncpg.Connection, empty: str, tmp_path: Path
) -> None:
    await admin.execute(WATCH)
    await admin.execute(ODD)
    await admin.execute(LIKE_AN_ARCHIVES)
    await asyncio.to_thread(backup, tmp_path, database)
    await asyncio.to_thread(restore, tmp_path, empty)
    assert await counts(empty) == await counts(database)
    assert await execute(empty, CONTENT) == await admin.fetchval(CONTENT)
    assert await execute(empty, "select public.odd()") == await admin.fetchval("select public.odd()")
    for text in TEXTS:
        assert await execute(empty, text) == await admin.fetchval(text)
    # What is the server's own stays there.
    assert await execute(empty, "select count(*) from pg_event_trigger, pg_publication") == 0


# One of each kind of relation, and of what belongs to them.
KINDS = r"""
create schema kinds;
create type kinds.mood as enum ('sad', 'ok');
create type kinds.pair as (a int, b text);
create domain kinds.positive as int check (value > 0);
create collation kinds.bytewise (provider = libc, locale = 'C');
create function kinds.twice(int) returns int language sql immutable as 'select $1 * 2';
create table kinds.plain (
  id int generated always as identity (start 7) primary key, mood kinds.mood, n kinds.positive, pair kinds.pair,
  name text collate kinds.bytewise, twice int generated always as (kinds.twice(2)) stored, many int[] default '{1}'
);
insert into kinds.plain (mood, n, pair, name) values ('ok', 3, (1, 'x'), 'ä'), ('sad', null, null, null);
create index on kinds.plain (kinds.twice(n)) where mood = 'ok';
create statistics kinds.related on mood, n from kinds.plain;
comment on table kinds.plain is 'it''s plain;
-- Name: x';
comment on column kinds.plain.n is 'n';
create table kinds.parted (n int, at date) partition by range (at);
create table kinds.parted_1 partition of kinds.parted for values from ('2026-01-01') to ('2027-01-01');
create table kinds.parted_rest partition of kinds.parted default partition by list (n);
create table kinds.parted_rest_1 partition of kinds.parted_rest for values in (1);
insert into kinds.parted values (1, '2026-05-05'), (1, '2030-01-01');
create index on kinds.parted (n);
create unlogged table kinds.unlogged as select 1 as n;
create sequence kinds.numbers start 7;
select nextval('kinds.numbers');
create table kinds.a (id int primary key, b int);
create table kinds.b (id int primary key, a int references kinds.a);
insert into kinds.a values (1, 1);
insert into kinds.b values (1, 1);
alter table kinds.a add foreign key (b) references kinds.b deferrable initially deferred;
alter table kinds.b add constraint later foreign key (id) references kinds.a not valid;
create table kinds.excluded (during int4range, exclude using gist (during with &&));
create table kinds.parent (n int);
create table kinds.child (m int) inherits (kinds.parent);
insert into kinds.parent values (1);
insert into kinds.child values (2, 3);
create function kinds.nothing() returns trigger language plpgsql as 'begin return null; end';
create trigger off before insert on kinds.a for each row execute function kinds.nothing();
alter table kinds.a disable trigger off;
create trigger always before insert on kinds.b for each row execute function kinds.nothing();
alter table kinds.b enable always trigger always;
create rule never as on insert to kinds.parent do instead nothing;
create view kinds.seen with (security_invoker = true) as select id, mood from kinds.plain;
create table kinds.forced (n int, owner text);
insert into kinds.forced values (1, 'x'), (2, 'y');
alter table kinds.forced enable row level security, force row level security;
create policy mine on kinds.forced to ops_staff using (owner = current_user);
create table kinds.of_payments as select id from payment.payments;
create materialized view kinds.totals as select count(*) from payment.payments;
create materialized view kinds.of_forced as select * from kinds.forced;
create unique index on kinds.of_forced (n);
create materialized view kinds.of_both as select * from kinds.totals, kinds.of_forced;
create materialized view kinds.empty as select 1 as n with no data;
comment on materialized view kinds.totals is 'how many';
create materialized view kinds.unfillable as select 1 / n as n from kinds.unlogged;
update kinds.unlogged set n = 0;
grant select on kinds.forced to ops_staff;
grant select on kinds.totals to ops_staff, public;
grant select (n) on kinds.of_forced to authenticated;
"""


async def of_schema(dsn: str, schema: str) -> list[str]:
    """All that pg_dump knows of a schema and its rows, but who owns and may see them."""
    options = ["--no-owner", "--no-acl", f"--schema={schema}", f"--dbname={dsn}"]
    process = await asyncio.create_subprocess_exec(binaries() / "pg_dump", *options, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert process.returncode == 0
    return [line for line in said.decode().splitlines() if line and not re.match("--|.(un)?restrict", line)]


async def test_every_kind_of_relation_comes_back(
    database: str, admin: asyncpg.Connection, empty: str, tmp_path: Path
) -> None:
    await admin.execute(KINDS)
    await asyncio.to_thread(backup, tmp_path, database)
    told = await asyncio.to_thread(restore, tmp_path, empty)
    before, after = await of_schema(database, "kinds"), await of_schema(empty, "kinds")
    assert after == [line for line in before if line != "REFRESH MATERIALIZED VIEW kinds.unfillable;"]
    assert "not filled: materialized view kinds.unfillable (division by zero)\n" in told
    connection = await asyncpg.connect(empty)
    for name in ("totals", "of_forced", "of_both"):
        rows = f"select * from kinds.{name} order by 1, 2" if name != "totals" else f"select * from kinds.{name}"
        assert await connection.fetch(rows) == await admin.fetch(rows)
    # What the owner sees in one need not be what its maker saw.
    assert "for its owner alone from now on: kinds.totals\n" in told
    assert "for its owner alone from now on: kinds.of_forced\n" in told
    for role, name, column in (("ops_staff", "totals", "count"), ("authenticated", "of_forced", "n")):
        may = "select has_column_privilege($1, 'kinds.' || $2, $3, 'select')"
        assert await admin.fetchval(may, role, name, column)
        assert not await connection.fetchval(may, role, name, column)
    assert await connection.fetchval("select has_table_privilege('ops_staff', 'kinds.forced', 'select')")
    await connection.close()


@pytest.mark.parametrize("kind", ["permissive", "restrictive"])
async def test_a_policy_for_a_login_that_is_not_there_shows_nobody_more(
    database: str, admin: asyncpg.Connection, empty: str, tmp_path: Path, kind: str
) -> None:
    await admin.execute("create role beatha")
    await admin.execute(
        f"""
        create table public.noted (n int);
        insert into public.noted values (1);
        alter table public.noted enable row level security, force row level security;
        create policy hers on public.noted as {kind} to beatha, ops_staff using (n > 0);
        comment on policy hers on public.noted is 'hers; and theirs';
        """
    )
    await asyncio.to_thread(backup, tmp_path, database)
    await admin.execute("drop owned by beatha; drop policy if exists hers on public.noted; drop role beatha")
    done = await asyncio.to_thread(db, tmp_path, empty, "restore", "dump")
    if kind == "permissive":
        assert done.returncode == 0, done.stderr
        assert 'left out: policy noted hers (role "beatha" does not exist)\n' in done.stderr
        assert await execute(empty, "select n from public.noted") == 1
    else:
        said = 'ecotrips: POLICY public.noted hers: role "beatha" does not exist\n'
        assert (done.returncode, done.stderr) == (1, said)
        assert await counts(empty) == {}


async def test_nobody_gets_the_owners_rights_by_a_restore(
    database: str, admin: asyncpg.Connection, empty: str, tmp_path: Path
) -> None:
    await admin.execute(
        """
        create role chantal;
        create schema chantal authorization chantal;
        grant usage on schema chantal to public;
        create function chantal.paid() returns bigint security definer
          language sql as 'select count(*) from payment.payments';
        create view chantal.seen as select count(*) from payment.payments;
        grant select on chantal.seen to public;
        alter function chantal.paid() owner to chantal;
        alter view chantal.seen owner to chantal;
        """
    )
    await asyncio.to_thread(backup, tmp_path, database)
    told = await asyncio.to_thread(restore, tmp_path, empty)
    assert "with its caller's rights from now on: chantal.paid()" in told
    for dsn in (database, empty):
        connection = await asyncpg.connect(dsn)
        await connection.execute("set role anon")
        for statement in ("select chantal.paid()", "select * from chantal.seen"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.close()
    await admin.execute("drop owned by chantal cascade; drop role chantal")


@pytest.mark.parametrize("by_hand", [False, True], ids=["backup", "pg_dump"])
async def test_what_a_persons_own_login_left_behind_keeps_nobody_from_restoring(
    database: str, admin: asyncpg.Connection, empty: str, tmp_path: Path, *, by_hand: bool
) -> None:
    await admin.execute("create role beatha login in role ops_staff password 'of-a-person'")
    await admin.execute("grant select on ops.v_bookings, ops.flags to beatha")
    await admin.execute("grant execute on function lo_from_bytea(oid, bytea) to beatha")
    hers = await asyncpg.connect(with_login(database, "beatha", "of-a-person"))
    try:
        await hers.execute("select lo_from_bytea(0, 'a picture')")
        await hers.execute("alter default privileges grant select on tables to public")
        await hers.execute("alter default privileges in schema public grant all on functions to beatha")
        if by_hand:
            options = ["-Fc", f"--file={tmp_path / 'dump'}"]
            process = await asyncio.create_subprocess_exec(binaries() / "pg_dump", *options, database)
            assert await process.wait() == 0
        else:
            await asyncio.to_thread(backup, tmp_path, database)
    finally:
        await hers.close()
        await admin.execute("drop owned by beatha; drop role beatha")
    told = await asyncio.to_thread(restore, tmp_path, empty)
    assert 'left out: rights on TABLE flags (role "beatha" does not exist)' in told
    assert await state(empty) == await state(database)


@pytest.mark.parametrize("name", ["dump", "-x", "a blank and ü", "*", "x" * 255])
def test_a_backup_is_its_owners_alone_and_takes_the_place_of_the_former(
    database: str, tmp_path: Path, name: str
) -> None:
    before = os.umask(0)
    try:
        file = tmp_path / name
        file.write_bytes(YESTERDAYS)
        file.chmod(0o644)
        (tmp_path / "latest").symlink_to(file)
        said = backup(tmp_path, database, "latest")
    finally:
        os.umask(before)
    assert str(file) in said
    assert names(tmp_path) == sorted({name, "latest"})
    assert (tmp_path / "latest").is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes().startswith(b"PGDMP")


OURS = {
    # Nothing that is no backup is replaced, and nothing is put where it is lost, harms or is served.
    "pg18/PG_VERSION": "is in PostgreSQL's own folder",
    "pg18/new": "is in PostgreSQL's own folder",
    "pg18/base/1/new": "is in PostgreSQL's own folder",
    "pg17/new": "is in PostgreSQL's own folder",
    "link/new": "is in PostgreSQL's own folder",
    "link/../jwt_secret": "is in PostgreSQL's own folder",
    "storage/new": "is in the installation's own folder",
    "storage/invoices/new": "is in the installation's own folder",
    "locks/users": "is in the installation's own folder",
    "binaries/new": "is in the installation's own folder",
    "jwt_secret": "is no backup, and is not replaced by one",
    "dev.env": "is no backup, and is not replaced by one",
    "pg18": "is no ordinary file",
    "fifo": "is no ordinary file",
    ".s.PGSQL.5432": "is no ordinary file",
    "/dev/null": "is no ordinary file",
    ".": "is no ordinary file",
    "none/dump": "No such file or directory: '/",
    "jwt_secret/dump": "Not a directory: '/",
    "dump.ecotrips-partial": "is named as what was not finished",
    "y" * 256: "File name too long",
    "loop/x": "Too many levels of symbolic links",
}


def test_no_backup_goes_where_none_can_be(tmp_path: Path) -> None:
    for name in ("pg17/base", "storage/invoices", "binaries"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "pg17" / "PG_VERSION").write_text("17\n")
    (tmp_path / "link").symlink_to(tmp_path / "pg18" / "base")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dev.env").write_text("JWT_SECRET=x")
    given = {"DATABASE_URL": "", "JWT_SECRET": "", "DATA_DIR": str(tmp_path)}
    assert ecotrips(tmp_path, "db", "start", **given).returncode == 0
    try:
        assert ecotrips(tmp_path, "db", "apply", **given).returncode == 0
        before = {path: path.read_bytes() for path in (tmp_path / "jwt_secret", tmp_path / "pg18" / "PG_VERSION")}
        for place, said in OURS.items():
            done = ecotrips(tmp_path, "db", "backup", place, **given)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), (place, done)
            assert said in done.stderr, (place, done.stderr)
            assert "does not answer" not in done.stderr
        assert {path: path.read_bytes() for path in before} == before
        assert not list(tmp_path.rglob("*.ecotrips-partial"))
        assert not list(tmp_path.rglob("new"))
        assert ecotrips(tmp_path, "db", "backup", "dump", **given).returncode == 0
        assert ecotrips(tmp_path, "db", "status", **given).returncode == 0
    finally:
        ecotrips(tmp_path, "db", "stop", **given)
    assert Path(os.devnull).is_char_device()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a\nline\x1b[2J", r"a\nline\x1b[2J"),
        (b"latin-\xfc", r"latin-\udcfc"),
        ("ü 🚐".encode(), "ü 🚐"),
        (b"$(touch x); '\"%s", "$(touch x); '\"%s"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_name_is_whatever_letters_it_has(
    database: str, empty: str, tmp_path: Path, name: bytes, shown: str, encoding: str
) -> None:
    given = {"DATABASE_URL": database, "JWT_SECRET": JWT_SECRET, "PYTHONIOENCODING": f"{encoding}:strict"}
    for command, dsn in (("backup", database), ("restore", empty)):
        run = [sys.executable, "-m", "src.cli", "db", command, os.fsdecode(name)]
        env = environment(**{**given, "DATABASE_URL": dsn})
        done = subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert shown.encode(encoding, "backslashreplace") in done.stdout
        assert done.stdout.count(b"\n") == 1
    assert {os.fsencode(found) for found in names(tmp_path)} <= {name, b".data"}


async def test_rows_that_row_security_hides_are_no_backup(
    database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    await admin.execute("create role owning login createrole in role ecotrips_owner password 'x'")
    owned = with_login(database, "owning", "x")
    try:
        await asyncio.to_thread(backup, tmp_path, owned)
        for policy in ("as permissive for select using (auth_user_id is null)", "as restrictive using (true)"):
            await admin.execute("drop policy if exists owner_acts on core.profiles")
            await admin.execute(f"create policy owner_acts on core.profiles {policy}")
            done = await asyncio.to_thread(db, tmp_path, owned, "backup", "hidden")
            assert (done.returncode, done.stderr) == (
                1,
                "ecotrips: row security hides rows from this login (of core.profiles): back up as the administrator\n",
            )
        assert names(tmp_path) == ["dump"]
        await asyncio.to_thread(backup, tmp_path, database)
    finally:
        await admin.execute("drop owned by owning; drop role owning")


def wrapped(folder: Path, program: str, script: str) -> dict[str, str]:
    """The setting by which a script takes a program's place; `$real` is that program. It is newer than all others."""
    wrappers = folder / "wrappers"
    wrappers.mkdir(exist_ok=True)
    shown = f'[ "$1" = --version ] && echo "{program} (PostgreSQL) 99.0" && exit\nreal={binaries() / program}\n'
    (wrappers / program).write_text(f"#!/bin/sh\n{shown}{script}\n")
    (wrappers / program).chmod(0o755)
    return {"POSTGRES_BIN": str(wrappers)}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('exec "$real" --exclude-table-data=core.profiles "$@"', "rows of core.profiles"),
        ('exec "$real" --exclude-table=ops.flags "$@"', "rows of ops.flags"),
        ('"$real" "$@"; for last; do :; done; truncate -s -3000 "${last#--file=}"', "archive"),
        ('echo "pg_dump: error: it was not to be" >&2; exit 1', "pg_dump failed: pg_dump: error: it was not to be"),
    ],
)
async def test_what_does_not_hold_every_row_is_no_backup(
    database: str, admin: asyncpg.Connection, tmp_path: Path, script: str, said: str
) -> None:
    await admin.execute("insert into ops.flags values ('PAYOUTS_PAUSED', '1', 'x')")
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "dump").write_bytes(YESTERDAYS)
    done = await asyncio.to_thread(db, folder, database, "backup", "dump", **wrapped(tmp_path, "pg_dump", script))
    assert done.returncode == 1
    assert said in done.stderr
    assert names(folder) == ["dump"]
    assert (folder / "dump").read_bytes() == YESTERDAYS


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda whole: whole[:-3000],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-3000] + bytes(2000) + whole[-1000:],
        lambda _whole: b"PGDMP",
        lambda _whole: b"",
    ],
)
def test_nothing_is_restored_of_half_a_backup(
    database: str, empty: str, tmp_path: Path, spoilt: Callable[[bytes], bytes]
) -> None:
    backup(tmp_path, database)
    (tmp_path / "spoilt").write_bytes(spoilt((tmp_path / "dump").read_bytes()))
    done = db(tmp_path, empty, "restore", "spoilt")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert asyncio.run(counts(empty)) == {}
    restore(tmp_path, empty)


async def test_books_that_are_wrong_are_restored_and_said_to_be(
    database: str, admin: asyncpg.Connection, empty: str, tmp_path: Path
) -> None:
    await paid(database, 5)
    await admin.execute("select fin.seal_ledger(now())")
    await admin.execute("set session_replication_role = replica; update fin.checkpoints set root = '\\x00'")
    await asyncio.to_thread(backup, tmp_path, database)
    done = await asyncio.to_thread(db, tmp_path, empty, "restore", "dump")
    assert done.returncode == 1
    assert (
        "all was restored, but it is not right: 1 fault in the books, the first: the checkpoint through" in done.stderr
    )
    assert "restored:" not in done.stdout
    assert await counts(empty) == await counts(database)


async def test_stored_documents_are_held_to_what_the_backup_says(database: str, server: Server, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    given = {"STORAGE_URL": f"file://{storage}"}
    async with serving(database, storage_url=given["STORAGE_URL"]) as api:
        for number, payment in enumerate((await paid(database, 9))[:3]):
            if number == 2:
                await asyncio.to_thread(backup, tmp_path, database)
            asked = {"kind": "invoice", "payment_id": str(payment)}
            assert (await api.post("fin-invoice-generate", asked, api.service)).status_code == 200
    first, second, third = sorted(storage.rglob("*.pdf"))

    async def told() -> tuple[int, str]:
        dsn = await server.create()
        done = await asyncio.to_thread(db, tmp_path, dsn, "restore", "dump", **given)
        await server.drop(dsn)
        return done.returncode, done.stderr

    status, said = await told()
    assert status == 0
    assert "2 of 2 documents are stored here" in said
    assert f"1 files of invoices that this backup does not know, the last: {third.relative_to(storage)}\n" in said
    first.unlink()
    status, said = await told()
    assert status == 0
    assert "1 of 2 documents are stored here" in said
    second.write_bytes(b"%PDF-1.4 altered")
    status, said = await told()
    assert status == 1
    assert f"not right: 1 stored documents are not those of the backup: {second.relative_to(storage)}\n" in said
    given |= {"STORAGE_URL": "s3://kept", "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "here"}
    given |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x" * 40}
    status, said = await told()
    assert status == 1
    assert "not right: stored documents cannot be read: " in said.splitlines()[-1]


async def test_restored_invoices_are_rendered_again_as_they_were(database: str, empty: str, tmp_path: Path) -> None:
    payment, *_ = await paid(database, 9)
    asked = {"kind": "invoice", "payment_id": str(payment)}
    documents = []
    for dsn, folder in ((database, "before"), (empty, "after")):
        async with serving(dsn, storage_url=f"file://{tmp_path / folder}") as api:
            answer = (await api.post("fin-invoice-generate", asked, api.service)).json()
            documents.append((await api.http.get(answer["signed_url"])).content)
        if dsn == database:
            await asyncio.to_thread(backup, tmp_path, database)
            await asyncio.to_thread(restore, tmp_path, empty)
    assert documents[0] == documents[1]
    assert documents[0].startswith(b"%PDF")


def test_how_far_it_is_is_told_on_a_terminal(database: str, empty: str, tmp_path: Path) -> None:
    dumps = '"$real" "$@"; sleep 1.2'
    reads = 'sleep 1.2; exec "$real" "$@"'

    def on_a_terminal(command: str, dsn: str, program: str, script: str) -> str:
        ours, theirs = os.openpty()
        given = environment(DATABASE_URL=dsn, JWT_SECRET=JWT_SECRET, **wrapped(tmp_path, program, script))
        run = [sys.executable, "-m", "src.cli", "db", command, "dump"]
        done = subprocess.run(run, cwd=tmp_path, env=given, stdout=subprocess.PIPE, stderr=theirs, check=False)
        os.close(theirs)
        text = os.read(ours, 1 << 16).decode()
        os.close(ours)
        assert done.returncode == 0, text
        return text

    said = on_a_terminal("backup", database, "pg_dump", dumps)
    assert "kB written of a database of " in said
    assert said.endswith("\r\x1b[K")
    assert "\r" not in backup(tmp_path, database)
    said = on_a_terminal("restore", empty, "pg_restore", reads)
    assert "kB restored, 1 s" in said


# Killed, stopped, lost and full, half-way.

HALF_A_DUMP = """
for last; do :; done
file=${last#--file=}
"$real" "$@" && truncate -s 5000 "$file" && touch half-way && exec sleep 600
"""


# A job in the background ignores SIGINT, one under nohup SIGHUP, and so does whatever they start.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def half_way(
    folder: Path, dsn: str, *arguments: str, under: str = "", **changes: str
) -> Iterator[subprocess.Popen[str]]:
    """A command of `db`, run by `under` if it is given, that a wrapper holds half-way."""
    (folder / "half-way").unlink(missing_ok=True)
    process = subprocess.Popen(
        [*under.split(), sys.executable, "-m", "src.cli", "db", *arguments],
        cwd=folder,
        env=environment(DATABASE_URL=dsn, JWT_SECRET=JWT_SECRET, **changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: [signal.signal(sign, signal.SIG_DFL) for sign in STOPPING],  # noqa: PLW1509 - no threads here
    )
    deadline = time.monotonic() + TIMEOUT
    while not (folder / "half-way").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.heavy
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_backup_that_is_ended_leaves_yesterdays(database: str, tmp_path: Path, sign: signal.Signals) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "dump").write_bytes(YESTERDAYS)
    given = wrapped(tmp_path, "pg_dump", HALF_A_DUMP)
    with half_way(folder, database, "backup", "dump", **given) as process:
        programs = list(descendants(process.pid))
        beside = [path.name for path in folder.iterdir() if path.name not in {"dump", "half-way"}]
        assert [name.rpartition("-")[0].partition("-")[0] for name in beside] == [str(process.pid)]
        # Another one of the same name does not take this one's away.
        with half_way(folder, database, "backup", "dump", **given) as other:
            assert (folder / beside[0]).exists()
            other.send_signal(signal.SIGTERM)
            assert other.wait(TIMEOUT) == 130
        process.send_signal(sign)
        _, said = process.communicate(timeout=TIMEOUT)
        assert "Traceback" not in said
    assert process.returncode == (-sign if sign == signal.SIGKILL else 130)
    wait_until_gone(*programs)
    (folder / "half-way").unlink()
    assert names(folder) == sorted(["dump", *beside] if sign == signal.SIGKILL else ["dump"])
    assert (folder / "dump").read_bytes() == YESTERDAYS
    backup(folder, database, "another")
    assert names(folder) == ["another", "dump"]


@pytest.mark.heavy
def test_a_backup_under_nohup_outlives_its_terminal(database: str, tmp_path: Path) -> None:
    given = wrapped(tmp_path, "pg_dump", 'touch half-way; while ! [ -e go ]; do sleep 0.1; done; exec "$real" "$@"')
    with half_way(tmp_path, database, "backup", "dump", under="nohup", **given) as process:
        process.send_signal(signal.SIGHUP)
        (tmp_path / "go").touch()
        _, said = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, said


# Beside each other, and beside who changes what is there.


@pytest.mark.heavy
@pytest.mark.parametrize("other", ["restore dump", "apply"])
def test_what_comes_beside_a_restore_waits_for_it(database: str, empty: str, tmp_path: Path, other: str) -> None:
    backup(tmp_path, database)
    with half_way(tmp_path, empty, "restore", "dump", **wrapped(tmp_path, "pg_restore", HALF_A_SCRIPT)) as process:
        run = [sys.executable, "-u", "-m", "src.cli", "db", *other.split()]
        env = environment(DATABASE_URL=empty, JWT_SECRET=JWT_SECRET)
        with subprocess.Popen(
            run, cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as beside:
            assert beside.stdout is not None
            said = beside.stdout.readline()
            assert re.fullmatch(r" *waiting for process \d+ of postgres \(ecotrips-restore\)\n", said), said
            (tmp_path / "go").touch()
            assert process.wait(TIMEOUT) == 0
            said, _ = beside.communicate(timeout=TIMEOUT)
    if other == "apply":
        assert (beside.returncode, said) == (0, "up to date\n")
    else:
        assert (beside.returncode, said) == (1, "ecotrips: the database is not empty: restore into a new one\n")
        assert asyncio.run(counts(empty)) == asyncio.run(counts(database))


def test_databases_of_one_server_are_restored_and_applied_at_once(
    database: str, server: Server, tmp_path: Path
) -> None:
    backup(tmp_path, database)
    dsns = [asyncio.run(server.create()) for _ in range(4)]
    given = settings(database)

    async def make_roles(dsn: str) -> None:
        for _ in range(30):
            await apply.make_roles(dsn, lambda role: role_password(given, role))

    async def all_at_once() -> None:
        await asyncio.gather(*map(make_roles, dsns[:2]), *(asyncio.to_thread(restore, tmp_path, d) for d in dsns[2:]))

    asyncio.run(all_at_once())
    for dsn in dsns:
        asyncio.run(server.drop(dsn))


@pytest.mark.heavy
def test_no_sql_is_applied_during_a_backup(database: str, tmp_path: Path) -> None:
    waits = 'touch half-way; while ! [ -e go ]; do sleep 0.1; done; exec "$real" "$@"'
    with half_way(tmp_path, database, "backup", "dump", **wrapped(tmp_path, "pg_dump", waits)) as process:
        # Backups share the lock.
        backup(tmp_path, database, "another")
        run = [sys.executable, "-u", "-m", "src.cli", "db", "apply"]
        env = environment(DATABASE_URL=database, JWT_SECRET=JWT_SECRET)
        with subprocess.Popen(run, cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE) as applying:
            assert applying.stdout is not None
            said = applying.stdout.readline()
            assert re.fullmatch(r"  waiting for process \d+ of postgres \(ecotrips-backup\)\n", said), said
            (tmp_path / "go").touch()
            assert process.wait(TIMEOUT) == 0
            assert applying.communicate(timeout=TIMEOUT)[0] == "up to date\n"


async def test_nobodys_lock_keeps_a_backup_from_being_made(
    database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    # As where no superuser applied.
    await admin.execute("grant execute on function pg_advisory_lock(bigint) to public")
    staff = await asyncpg.connect(login_dsn(settings(database), OPERATORS[STAFF]))
    await staff.execute("select pg_advisory_lock($1)", apply.ADVISORY_LOCK)
    done = await asyncio.to_thread(db, tmp_path, database, "backup", "dump")
    await staff.close()
    assert done.returncode == 0
    assert done.stderr.startswith("psql_staff holds the lock of db apply: ")


IMPATIENT = "from src.commands import backup; backup.LOCKS_MS = 1500; from src.cli import main; main()"


@pytest.mark.heavy
@pytest.mark.parametrize("queued", [False, True])
async def test_who_changes_tables_during_a_backup_is_named(
    database: str, admin: asyncpg.Connection, tmp_path: Path, *, queued: bool
) -> None:
    waits = 'touch half-way; while ! [ -e go ]; do sleep 0.1; done; exec "$real" "$@"'
    env = environment(DATABASE_URL=database, JWT_SECRET=JWT_SECRET, **wrapped(tmp_path, "pg_dump", waits))
    run = [sys.executable, "-c", IMPATIENT, "db", "backup", "dump"]
    change = "begin; alter table core.profiles add nothing int"
    changing = asyncio.create_task(admin.execute(change)) if not queued else None
    if changing:
        await changing
    process = await asyncio.create_subprocess_exec(
        *run, cwd=tmp_path, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    if queued:
        # Behind the backup's own connection, and before pg_dump.
        while not (tmp_path / "half-way").exists():
            await asyncio.sleep(0.02)
        changing = asyncio.create_task(admin.execute(change))
        await asyncio.sleep(0.3)
        (tmp_path / "go").touch()
    async with asyncio.timeout(TIMEOUT):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode() == (
        f"ecotrips: tables are being changed (process {admin.get_server_pid()} of postgres), and a backup has to wait"
        " for that: back up again when it has ended\n"
    )
    assert changing is not None
    await changing
    await admin.execute("rollback")
    assert "dump" not in names(tmp_path)


@pytest.mark.heavy
async def test_a_row_that_a_change_of_its_table_writes_anew_is_in_the_backup(
    database: str, admin: asyncpg.Connection, empty: str, tmp_path: Path
) -> None:
    """What such a change wrote is older than any snapshot of who waited for it."""
    await admin.execute("create table public.counted (n int); insert into public.counted values (1), (2)")
    await admin.execute("begin; alter table public.counted alter n type bigint")
    made = asyncio.create_task(asyncio.to_thread(backup, tmp_path, database))
    while not await execute(database, WAITS):
        await asyncio.sleep(0.02)
    await admin.execute("commit")
    await made
    await asyncio.to_thread(restore, tmp_path, empty)
    assert await execute(empty, "select count(*) from public.counted") == 2


HALF_A_SCRIPT = """
"$real" "$@" > script || exit 1
head -c 600000 script
touch half-way
while ! [ -e go ]; do sleep 0.1; done
exec tail -c +600001 script
"""


@pytest.fixture
def own() -> Iterator[tuple[EmbeddedPostgres, str]]:
    """A server that may be killed, and the DSN of a database in it with everything."""
    with server() as postgres:
        asyncio.run(execute(postgres.url("postgres"), "create database copy"))
        asyncio.run(filled(postgres.url("postgres")))
        yield postgres, postgres.url("postgres")


async def filled(dsn: str) -> None:
    """With everything that there is rows for."""
    given = settings(dsn)
    await apply.apply(dsn, apply.shipped(), lambda role: role_password(given, role))
    await seed_demo(dsn)
    await seed_volume(dsn, 40, lambda _done: None)


def crash(postgres: EmbeddedPostgres) -> None:
    pid = postgres.running_pid()
    assert pid is not None
    os.kill(pid, signal.SIGQUIT)
    wait_until_gone(pid)


@pytest.mark.heavy
def test_a_backup_whose_server_is_lost_leaves_yesterdays(own: tuple[EmbeddedPostgres, str], tmp_path: Path) -> None:
    postgres, dsn = own
    (tmp_path / "dump").write_bytes(YESTERDAYS)
    with subprocess.Popen(
        [postgres.bin / "psql", "-d", dsn, "-qAtc", "begin; lock core.profiles; select 'locked'; select pg_sleep(600)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        process = subprocess.Popen(
            [sys.executable, "-m", "src.cli", "db", "backup", "dump"],
            cwd=tmp_path,
            env=environment(DATABASE_URL=dsn, JWT_SECRET=JWT_SECRET),
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + TIMEOUT
        while not asyncio.run(execute(dsn, WAITS)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        crash(postgres)
        _, said = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert said.startswith("ecotrips: ")
    assert said.count("\n") == 1
    assert names(tmp_path) == ["dump"]
    assert (tmp_path / "dump").read_bytes() == YESTERDAYS
    start_again(postgres)
    backup(tmp_path, dsn)
    restore(tmp_path, postgres.url("copy"))


def wait_until_reading(pid: int) -> None:
    """Until the command waits for what the archive's program writes."""
    deadline = time.monotonic() + TIMEOUT
    while "pipe" not in Path(f"/proc/{pid}/wchan").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.heavy
@pytest.mark.parametrize("ended", ["killed", "stopped", "stopped while it reads", "without its server"])
def test_a_restore_that_is_ended_leaves_nothing(own: tuple[EmbeddedPostgres, str], tmp_path: Path, ended: str) -> None:
    postgres, dsn = own
    backup(tmp_path, dsn)
    copy = postgres.url("copy")
    with half_way(tmp_path, copy, "restore", "dump", **wrapped(tmp_path, "pg_restore", HALF_A_SCRIPT)) as process:
        if ended == "without its server":
            crash(postgres)
            (tmp_path / "go").touch()
            _, said = process.communicate(timeout=TIMEOUT)
            assert (process.returncode, said.count("\n")) == (1, 1), said
            assert "the database does not answer" in said
            start_again(postgres)
        else:
            if ended == "stopped while it reads":
                wait_until_reading(process.pid)
            process.send_signal(signal.SIGKILL if ended == "killed" else signal.SIGINT)
            process.communicate(timeout=TIMEOUT)
            assert process.returncode == (-signal.SIGKILL if ended == "killed" else 130)
    (tmp_path / "go").touch()
    assert asyncio.run(counts(copy)) == {}
    restore(tmp_path, copy)
    assert asyncio.run(counts(copy)) == asyncio.run(counts(dsn))


ENTRY = "from src.entry import main; main()"
MOMENTS = 40


def stopped_at(moment: float, folder: Path, dsn: str, *arguments: str) -> tuple[int, str, str]:
    """A command of `db` that is sent up to three signals from a moment on: its exit status and what it said."""
    chosen = random.Random(moment)
    with subprocess.Popen(
        [sys.executable, "-c", ENTRY, "db", *arguments],
        cwd=folder,
        env=environment(DATABASE_URL=dsn, JWT_SECRET=JWT_SECRET),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: [signal.signal(sign, signal.SIG_DFL) for sign in STOPPING],  # noqa: PLW1509 - no threads here
    ) as process:
        time.sleep(moment)
        for _ in range(chosen.randint(1, 3)):
            # As from a terminal: pg_dump and pg_restore get it as well.
            send = os.killpg if chosen.random() < 0.5 else os.kill
            with suppress(ProcessLookupError):
                send(process.pid, chosen.choice(STOPPING))
            time.sleep(chosen.choice((0, 0, 0.001, 0.05)))
        said, told = process.communicate(timeout=TIMEOUT)
    assert "Traceback" not in told, (moment, told)
    assert "Exception" not in told, (moment, told)
    return process.returncode, said, told


def took(folder: Path, dsn: str, *arguments: str) -> float:
    begun = time.monotonic()
    assert db(folder, dsn, *arguments).returncode == 0
    return time.monotonic() - begun


def is_stopped(status: int) -> bool:
    """By ourselves, or by the system while the command is still being loaded: then nothing has begun."""
    return status == 130 or -status in STOPPING


@pytest.mark.heavy
def test_a_backup_that_is_stopped_at_any_moment_leaves_yesterdays_or_is_whole(database: str, tmp_path: Path) -> None:
    whole = took(tmp_path, database, "backup", "measured")
    for number in range(MOMENTS):
        (tmp_path / "dump").write_bytes(YESTERDAYS)
        moment = 0.15 + (whole - 0.1) * number / MOMENTS
        status, said, told = stopped_at(moment, tmp_path, database, "backup", "dump")
        assert names(tmp_path) == ["dump", "measured"], moment
        if status == 0:
            assert said.startswith("written: ")
            assert (tmp_path / "dump").stat().st_size == (tmp_path / "measured").stat().st_size
        else:
            assert is_stopped(status), (moment, status, told)
            assert (said, told) == ("", ""), moment
            assert (tmp_path / "dump").read_bytes() == YESTERDAYS


@pytest.mark.heavy
def test_a_restore_that_is_stopped_at_any_moment_leaves_nothing_or_says_that_all_is_there(
    database: str, server: Server, tmp_path: Path
) -> None:
    backup(tmp_path, database)
    dsn = asyncio.run(server.create())
    whole = took(tmp_path, dsn, "restore", "dump")
    everything = asyncio.run(counts(dsn))
    for number in range(MOMENTS):
        asyncio.run(server.drop(dsn))
        dsn = asyncio.run(server.create())
        moment = 0.15 + (whole - 0.1) * number / MOMENTS
        status, said, told = stopped_at(moment, tmp_path, dsn, "restore", "dump")
        # The server notices a moment later that the command has ended.
        there = asyncio.run(eventually_counts(dsn))
        if status == 0:
            assert "restored: " in said
        else:
            assert is_stopped(status), (moment, status, told)
            assert ("rows restored, as many as the backup holds" in told) == bool(there), (moment, told)
            assert ("stopped: all was restored" in told) == bool(there), (moment, told)
        assert there in ({}, everything)
    asyncio.run(server.drop(dsn))


@pytest.mark.heavy
def test_a_restore_that_is_stopped_after_its_commit_says_what_is_there(
    database: str, empty: str, tmp_path: Path
) -> None:
    backup(tmp_path, database)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        given = {"STORAGE_URL": "s3://kept", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        given |= {"AWS_REGION": "here", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x" * 40}
        with (
            subprocess.Popen(
                [sys.executable, "-m", "src.cli", "db", "restore", "dump"],
                cwd=tmp_path,
                env=environment(DATABASE_URL=empty, JWT_SECRET=JWT_SECRET, **given),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process,
            silent.accept()[0],
        ):
            process.send_signal(signal.SIGTERM)
            said, told = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, said) == (130, "")
    assert told.endswith("\nstopped: all was restored, and not all stored documents are proved\n")
    assert asyncio.run(counts(empty)) == asyncio.run(counts(database))


async def eventually_counts(dsn: str) -> dict[str, int]:
    busy = "select count(*) from pg_stat_activity where application_name = 'ecotrips-restore'"
    while await execute(dsn, busy):
        await asyncio.sleep(0.02)
    return await counts(dsn)


@pytest.mark.heavy
def test_a_full_disk_leaves_yesterdays_backup(database: str, tmp_path: Path) -> None:
    with disk("600k") as folder:
        (folder / "dump").write_bytes(YESTERDAYS)
        done = db(tmp_path, database, "backup", str(folder / "dump"))
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert names(folder) == ["dump"]
        assert (folder / "dump").read_bytes() == YESTERDAYS


@pytest.mark.heavy
async def test_a_full_disk_of_the_server_restores_nothing(database: str, tmp_path: Path) -> None:
    await seed_volume(database, 2000, lambda _done: None)
    await asyncio.to_thread(backup, tmp_path, database)
    with disk("160m") as folder, running(EmbeddedPostgres(folder, binaries())) as postgres:
        await execute(postgres.url("postgres"), "create database copy")
        free = shutil.disk_usage(folder).free
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(free - (4 << 20)))
        done = await asyncio.to_thread(db, tmp_path, postgres.url("copy"), "restore", "dump")
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stderr
        ballast.unlink()
        start_again(postgres)
        assert await counts(postgres.url("copy")) == {}
        await asyncio.to_thread(restore, tmp_path, postgres.url("copy"))


# From every release to every later one, whoever the administrators are.

ADMINISTRATORS = {
    # First who is no superuser: since PostgreSQL 16 a role's rights are given by who made it.
    "administrator": "create role administrator login createrole password 'x'",
    # The database belongs to a role that the administrator is in.
    "member": "create role member login createrole in role administrator password 'x'",
    "postgres": "",
}


def database_of(postgres: EmbeddedPostgres, login: str, name: str) -> str:
    """The DSN of a new and empty database of an administrator."""
    owner = "postgres" if login == "postgres" else "administrator"
    asyncio.run(execute(postgres.url("postgres"), f"create database {name} owner {owner}"))
    return with_login(postgres.url(name), login, "x")


@pytest.mark.heavy
def test_from_every_release_to_every_later_one_by_any_administrator(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = {release: stack.enter_context(server(programs(release))) for release in RELEASES}
        originals = {}
        for release, postgres in servers.items():
            for made in filter(None, ADMINISTRATORS.values()):
                asyncio.run(execute(postgres.url("postgres"), made))
            if release == "17":
                given = "alter role administrator set createrole_self_grant = 'set, inherit'"
                asyncio.run(execute(postgres.url("postgres"), given))
            for login in ("administrator", "postgres"):
                dsn = database_of(postgres, login, f"of_{login}")
                asyncio.run(filled(dsn))
                maker = dsn if login == "postgres" else with_login(dsn, "member", "x")
                backup(tmp_path, maker, f"{release}-{login}")
                originals[release, login] = asyncio.run(state(postgres.url(f"of_{login}")))
        for (release, login), target, into in product(originals, RELEASES, ADMINISTRATORS):
            if target < release:
                continue
            name = f"from_{release}_{login}_by_{into}"
            dsn = database_of(servers[target], into, name)
            restore(tmp_path, dsn, f"{release}-{login}")
            found = asyncio.run(state(servers[target].url(name)))
            assert found == originals[release, login], (release, login, target, into)
            asyncio.run(execute(servers[target].url("postgres"), f"drop database {name}"))
