"""Applies the shipped SQL: each migration once, other files when their text has changed.

Roles and rights on the database are set first, every time. Each file runs in a transaction of its own, as `psql -f`
would run it; `meta.applied` holds the digests. Overloads of one function belong in one file.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import asyncpg

from src.database.opened import connect
from src.database.roles import LOGINS

Result = TypeVar("Result")
SQL_FOLDER = Path(__file__).parents[2] / "sql"
# A dump contains neither the roles nor the rights on the database.
ROLES_FILE = SQL_FOLDER / "roles.sql"
DATABASE_FILE = SQL_FOLDER / "database.sql"
MIGRATIONS = "migrations/"
SCHEMAS_FILE = f"{MIGRATIONS}0001_schemas.sql"
ADVISORY_LOCK = 0x65636F74726970
LOCK_PAUSE_SECONDS = 0.05
# Other sessions queue behind a waiting lock request, so a lock is waited for in short attempts with pauses.
LOCK_ATTEMPTS = 20
LOCK_TIMEOUT = "set local lock_timeout = '300ms'"
LOCK_LOOK_SECONDS, LOCK_REST_SECONDS = 0.1, 0.5
NOT_THE_OWNER = "apply as the owner of the database and of its schema public, or as a superuser"
# Since PostgreSQL 16 CREATEROLE covers only roles that one has created.
NOT_THE_MAKER = "apply as who may create roles and made those that this server has, or as a superuser"
# Roles belong to the server, but the lock to one database, so two databases may change roles at the same time.
CHANGED_MEANWHILE = (
    asyncpg.InternalServerError,
    asyncpg.UniqueViolationError,
    asyncpg.DuplicateObjectError,
    asyncpg.DeadlockDetectedError,
)
MEANWHILE = "tuple concurrently"
ATTEMPTS = 200
# Functions by which any login can fill the disk or use up locks and transaction ids; database.sql revokes them.
WRITERS, HOARDERS = (
    tuple(re.findall(r"'(\w+)'", names))
    for names in re.findall(r"array\[(.*?)\]", DATABASE_FILE.read_text(), re.DOTALL)
)
# The administrator builds indexes and may use the disk.
WITHOUT_LIMIT = (
    "select set_config('temp_file_limit', '-1', false) where has_parameter_privilege('temp_file_limit', 'set')"
)
# The settings that roles.sql gives them: role, name, value.
SETTINGS_OF_LOGINS = frozenset(
    re.findall(r"^alter role (\w+) set (\w+) = '(.*)';$", ROLES_FILE.read_text(), re.MULTILINE)
)


# These files are applied again after every change.
FOLLOWING = ("policies.sql", "grants.sql")


class ApplyError(Exception):
    """Applying the SQL failed; the message names the file."""


@dataclass(frozen=True, slots=True)
class SqlFile:
    """A shipped file: its path below sql/ and the SHA-256 of its text."""

    name: str
    text: str
    digest: str


def shipped(folder: Path = SQL_FOLDER) -> list[SqlFile]:
    """All files in their order: migrations, functions, views, policies, grants."""
    return list(_shipped(folder))


def _shipped(folder: Path) -> Iterator[SqlFile]:
    for path in (
        *sorted((folder / "migrations").glob("*.sql")),
        *sorted((folder / "functions").glob("*.sql")),
        *sorted((folder / "views").glob("*.sql")),
        folder / "policies.sql",
        folder / "grants.sql",
    ):
        text = path.read_text()
        yield SqlFile(path.relative_to(folder).as_posix(), text, hashlib.sha256(text.encode()).hexdigest())


def digest(files: list[SqlFile]) -> str:
    """One digest over all files, which /readyz compares with the database's."""
    return hashlib.sha256("".join(f"{file.name}={file.digest}\n" for file in files).encode()).hexdigest()


DIGEST_OF_DATABASE = """
select encode(sha256(convert_to(string_agg(file || '=' || digest || E'\\n', '' order by ordinal), 'UTF8')), 'hex')
from meta.applied
"""

# How the release with the digest $1 relates to the database. `same`: it is applied. `before`: the database holds the
# next release. `between`: the next release is being applied. `differs`: `db apply` has to run.
RELEASE_STATUS = f"""
select case
  when $1 = held.digest then 'same'
  when $1 = (select digest from meta.releases order by place desc limit 1) then 'between'
  when $1 = (select digest from meta.releases order by place desc offset 1 limit 1) then 'before'
  else 'differs'
end
from ({DIGEST_OF_DATABASE}) as held (digest)
"""  # noqa: S608 - constants
RECORD = f"""
with held (digest) as materialized ({DIGEST_OF_DATABASE}),
gone as (delete from meta.releases where place > (select place from meta.releases join held using (digest)))
insert into meta.releases (digest) select digest from held on conflict do nothing
"""  # noqa: S608 - constants


# An advisory lock, as at first there is no table to lock. On some servers any login can take it.
HOLDER = """
select a.pid, a.usename, format('%s of %s (%s)', a.pid, a.usename, nullif(a.application_name, '')),
  not (r.rolsuper or r.rolcreaterole or d.datdba = r.oid)
from pg_locks l
join pg_database d on d.oid = l.database and d.datname = current_database()
join pg_stat_activity a using (pid)
join pg_roles r on r.oid = a.usesysid
where l.locktype = 'advisory' and l.granted and (l.classid::int8 << 32 | l.objid::int8) = $1
limit 1
"""


async def take_lock(
    connection: asyncpg.Connection[asyncpg.Record],
    report: Callable[[str], None] = lambda _line: None,
    *,
    shared: bool = False,
) -> None:
    """The lock under which SQL is applied, held until the connection ends.

    `shared` locks exclude applying, but not each other. Reports which administrator holds the lock. Raises ApplyError
    that names a holder who is no administrator.
    """
    attempt = f"select pg_try_advisory_lock{'_shared' if shared else ''}($1)"
    waiting_for = None
    while not await connection.fetchval(attempt, ADVISORY_LOCK):
        if holder := await connection.fetchrow(HOLDER, ADVISORY_LOCK):
            pid, login, name, is_stranger = holder
            if is_stranger:
                message = f"{login} holds the lock of db apply: select pg_terminate_backend({pid})"
                raise ApplyError(message)
            if pid != waiting_for:
                report(f"waiting for process {name}")
                waiting_for = pid
        await asyncio.sleep(LOCK_PAUSE_SECONDS)


# The sessions that block process $1; a prepared transaction has no process.
IN_THE_WAY = """
select string_agg(case pid
  when 0 then 'a prepared transaction (pg_prepared_xacts)'
  else format('%s (pid %s, %s)', coalesce(usename, backend_type), pid,
    concat_ws(' ', coalesce(state, 'state not shown'),
      'since ' || to_char(xact_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')))
end, ' and ' order by xact_start)
from (select distinct unnest(pg_blocking_pids($1)) as pid) as found left join pg_stat_activity using (pid)
"""


@dataclass(frozen=True, slots=True)
class _LockRetry:
    """Retries transactions while other sessions hold locks; `beside` is the connection that finds those sessions."""

    connection: asyncpg.Connection[asyncpg.Record]
    beside: asyncpg.Connection[asyncpg.Record]
    report: Callable[[str], None]

    async def run(
        self, what: str, act: Callable[[asyncpg.Connection[asyncpg.Record]], Coroutine[None, None, Result]]
    ) -> Result:
        """The result of `act`. Raises ApplyError that names the session that holds a lock for too long."""
        holder = told = None
        for _ in range(LOCK_ATTEMPTS):
            attempt = asyncio.ensure_future(self._once(act))
            try:
                while not (await asyncio.wait({attempt}, timeout=LOCK_LOOK_SECONDS))[0]:
                    holder = await self.beside.fetchval(IN_THE_WAY, self.connection.get_server_pid()) or holder
                return await attempt
            except asyncpg.LockNotAvailableError:
                if holder != told:
                    self.report(f"{what} waits for {holder}")
                    told = holder
                await asyncio.sleep(LOCK_REST_SECONDS)
            finally:
                attempt.cancel()
        message = f"{what}: {holder or 'another session'} holds a lock that it needs: end that, and apply again"
        raise ApplyError(message)

    async def execute(self, what: str, statement: str, *parameters: object) -> None:
        """Run one statement, or several without parameters."""
        await self.run(what, lambda connection: connection.execute(statement, *parameters))

    async def _once(self, act: Callable[[asyncpg.Connection[asyncpg.Record]], Coroutine[None, None, Result]]) -> Result:
        async with self.connection.transaction():
            await self.connection.execute(LOCK_TIMEOUT)
            return await act(self.connection)


KEEP_SWITCHES = """
with given as (select * from json_each_text($1)),
gone as (delete from ops.switch_defaults where name not in (select key from given))
insert into ops.switch_defaults as d select key, value from given
on conflict (name) do update set value = excluded.value where d.value <> excluded.value
"""


# Returns a row when the key changes; its value is null where there was no key.
KEEP_PRIVACY_KEY = """
with before as (select id from privacy.service_key)
insert into privacy.service_key as k (id) values (privacy.key_id($1))
on conflict (only_row) do update set id = excluded.id where k.id <> excluded.id
returning id, (select id from before) as before
"""


async def apply(
    dsn: str,
    files: list[SqlFile],
    role_password: Callable[[str], str],
    report: Callable[[str], None] = lambda _name: None,
    *,
    production: bool = False,
    switches: Mapping[str, str] | None = None,
    privacy_secret: str | None = None,
) -> list[str]:
    """Apply what is missing or changed and return the names of the files that ran.

    Safe on several hosts at once (one advisory lock). `role_password(role)` gives the password of each login role;
    `switches`, if given, are what sessions of psql work under from now on, and erasures are made under no other secret
    than `privacy_secret`. With `production` the database is a production one from then on, and the overrides that this
    removes are reported, too.
    Raises ApplyError when a migration was edited after it ran, when one ran that is not among the files, or when a file
    fails.
    """
    connection = await connect(dsn, server_settings={"application_name": "ecotrips-apply"})
    try:
        await _require_utf8(connection)
        await take_lock(connection, report)
        await connection.execute(WITHOUT_LIMIT)
        beside = await connect(dsn, server_settings={"application_name": "ecotrips-apply"})
        try:
            retry = _LockRetry(connection, beside, report)
            ran = await _apply(retry, files, role_password)
            if production:
                for flag in await retry.run("meta.set_environment", _set_production):
                    report(f"{flag}: override removed")
            if switches is not None:
                await retry.execute("ops.switch_defaults", KEEP_SWITCHES, json.dumps(switches))
            if privacy_secret is not None:
                await retry.run("privacy.service_key", lambda used: _keep_privacy_key(used, privacy_secret, report))
        finally:
            await beside.close()
        return ran
    finally:
        await connection.close()


async def _require_utf8(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Names of travellers and places are in any script, and an encoding cannot be changed once a database is made."""
    encoding = await connection.fetchval("show server_encoding")
    if encoding != "UTF8":
        message = f"the database's encoding is {encoding}: make it anew with encoding 'UTF8' template template0"
        raise ApplyError(message)


async def _keep_privacy_key(
    connection: asyncpg.Connection[asyncpg.Record], secret: str, report: Callable[[str], None]
) -> None:
    changed = await connection.fetchrow(KEEP_PRIVACY_KEY, secret)
    if changed is not None and changed["before"] is not None:
        report(f"erasures are made under key {changed['id']} from now on (before: {changed['before']})")


async def _set_production(connection: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    await connection.execute("set local role ecotrips_owner")
    return list(await connection.fetchval("select meta.set_environment('production')"))


async def _apply(retry: _LockRetry, files: list[SqlFile], role_password: Callable[[str], str]) -> list[str]:
    applied = await retry.run("meta.applied", _applied)
    edited = [f.name for f in files if _is_migration(f) and applied.get(f.name, f.digest) != f.digest]
    if edited:
        message = f"{edited[0]} was edited after it was applied; add a new migration instead"
        raise ApplyError(message)
    # A later release has other tables, on which this one's functions would fail.
    shipped_names = {file.name for file in files}
    if later := sorted(name for name in applied if name.startswith(MIGRATIONS) and name not in shipped_names):
        message = f"the database is of a later release ({later[0]}): docs/upgrade.md says how to go back"
        raise ApplyError(message)
    changed = [f for f in files if applied.get(f.name) != f.digest]
    # Even when no file has changed, because a restored database may have other passwords.
    await _make_roles(retry, role_password)
    if not changed:
        await retry.run("meta.applied", lambda connection: _keep_in_step(connection, files))
        return []
    # Policies and grants follow every change, as new tables and functions have none. Their digests are deleted first,
    # so that a failed run is repeated.
    last = [f for f in files if f.name in FOLLOWING and f not in changed]
    if applied:
        await retry.execute("meta.applied", "delete from meta.applied where file = any ($1)", FOLLOWING)
    ran = [*changed, *last]
    for file in ran:
        retry.report(file.name)
        await _run(retry, file, files.index(file))
    if not applied:
        # The first migration grants more on schema public than stays granted.
        await retry.execute(DATABASE_FILE.name, DATABASE_FILE.read_text())
    await retry.run("meta.applied", lambda connection: _keep_in_step(connection, files))
    await retry.execute("notify", "notify pgrst, 'reload schema'")
    return [file.name for file in ran]


async def _applied(connection: asyncpg.Connection[asyncpg.Record]) -> dict[str, str]:
    if not await connection.fetchval("select to_regclass('meta.applied') is not null"):
        return {}
    return {row["file"]: row["digest"] for row in await connection.fetch("select file, digest from meta.applied")}


async def _keep_in_step(connection: asyncpg.Connection[asyncpg.Record], files: list[SqlFile]) -> None:
    """Update the order of files and delete those no longer shipped, which completes the release."""
    names = [file.name for file in files]
    await connection.execute(
        "update meta.applied a set ordinal = f.place - 1 from unnest($1::text[]) with ordinality f (file, place)"
        " where a.file = f.file and a.ordinal <> f.place - 1",
        names,
    )
    await connection.execute("delete from meta.applied where file <> all ($1::text[])", names)
    await connection.execute(RECORD)


async def make_roles(
    dsn: str, role_password: Callable[[str], str], report: Callable[[str], None] = lambda _line: None
) -> None:
    """Make the roles, their passwords and their rights on the database, which a dump does not contain.

    Raises ApplyError that names the session that holds a lock on a role.
    """
    connection = await connect(dsn)
    try:
        beside = await connect(dsn)
        try:
            await _make_roles(_LockRetry(connection, beside, report), role_password)
        finally:
            await beside.close()
    finally:
        await connection.close()


async def _make_roles(retry: _LockRetry, role_password: Callable[[str], str]) -> None:
    """Raises ApplyError."""
    for _ in range(ATTEMPTS):
        try:
            await _make_roles_once(retry, role_password)
        except CHANGED_MEANWHILE as error:
            if not isinstance(error, asyncpg.InternalServerError) or MEANWHILE in str(error):
                await asyncio.sleep(LOCK_PAUSE_SECONDS)
                continue
            raise
        return
    message = "others change the server's roles again and again: apply when they have ended"
    raise ApplyError(message)


async def _make_roles_once(retry: _LockRetry, role_password: Callable[[str], str]) -> None:
    try:
        await retry.execute(ROLES_FILE.name, ROLES_FILE.read_text())
    except asyncpg.InsufficientPrivilegeError as error:
        message = f"{error.args[0]}: {NOT_THE_MAKER}"
        raise ApplyError(message) from error
    try:
        await retry.execute(DATABASE_FILE.name, DATABASE_FILE.read_text())
    except asyncpg.InsufficientPrivilegeError as error:
        raise ApplyError(NOT_THE_OWNER) from error
    # A revoke without the right to it only warns.
    is_open = "select has_database_privilege('public', current_database(), 'create, temporary')"
    if await retry.connection.fetchval(is_open):
        raise ApplyError(NOT_THE_OWNER)
    await retry.run("passwords", lambda connection: _set_passwords(connection, role_password))


async def _run(retry: _LockRetry, file: SqlFile, ordinal: int) -> None:
    async def run(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        await connection.execute("set local check_function_bodies = off")
        if file.name != SCHEMAS_FILE:
            await connection.execute("set local role ecotrips_owner")
        await connection.execute(file.text)
        if not _is_migration(file):
            await _drop_former_signatures(connection)
        await connection.execute("reset role")
        await connection.execute(
            "insert into meta.applied (file, digest, ordinal) values ($1, $2, $3)"
            " on conflict (file) do update"
            " set digest = excluded.digest, ordinal = excluded.ordinal, applied_at = now()",
            file.name,
            file.digest,
            ordinal,
        )

    try:
        await retry.run(file.name, run)
    except asyncpg.PostgresError as error:
        message = f"{file.name}: {error}"
        raise ApplyError(message) from error


FORMER_SIGNATURES = """
select format('drop function %s', p.oid::regprocedure) from pg_proc p
where p.xmin <> pg_current_xact_id()::xid and exists (
  select from pg_proc made
  where made.pronamespace = p.pronamespace and made.proname = p.proname and made.xmin = pg_current_xact_id()::xid
)
"""


async def _drop_former_signatures(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Drop the old signature of a changed function, as two overloads make calls ambiguous."""
    for row in await connection.fetch(FORMER_SIGNATURES):
        await connection.execute(row[0])


async def _set_passwords(connection: asyncpg.Connection[asyncpg.Record], role_password: Callable[[str], str]) -> None:
    for role in LOGINS:
        # `alter role` takes no parameters, so the server quotes the text.
        statement = await connection.fetchval(
            "select format('alter role %I password %L', $1::text, $2::text)", role, role_password(role)
        )
        await connection.execute(statement)


def _is_migration(file: SqlFile) -> bool:
    return file.name.startswith(MIGRATIONS)
