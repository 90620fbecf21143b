"""The local installation under DATA_DIR: its PostgreSQL, its secret, and the file for shells to source."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import secrets
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from src.database import apply, locks
from src.database.embedded import EmbeddedPostgres, binaries, running
from src.database.errors import FAILED
from src.database.opened import connect
from src.edge.errors import SettingsError
from src.logins import role_password, service_dsn
from src.settings import SWITCHES, Settings, embedded_place, from_environment, is_production, programs

OPS_USER = "22222222-2222-4222-8222-222222222222"
TRAVELLER = "33333333-3333-4333-8333-333333333333"
TOKEN_LIFETIME = timedelta(days=30)
DATABASE = "ecotrips"
SECRET_FILE = "jwt_secret"  # noqa: S105 - its name
SWITCHES_FILE = "switches.env"
SWITCH = re.compile(r"(\w+)=(0|1|live|mock)")
# In place of a secret that is made once the server runs.
UNMADE = "not made yet"


class NothingMadeError(Exception):
    """There is no installation here."""


def postgres(environ: Mapping[str, str]) -> EmbeddedPostgres:
    """The embedded server of this DATA_DIR, running or not. Raises SettingsError."""
    folder, port = embedded_place(environ)
    return EmbeddedPostgres(folder.resolve(), binaries(programs(environ, "postgres")), port=port)


def kept(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings in the files of an embedded installation; the environment overrides them.

    There are none with DATABASE_URL or in production. Raises OSError and SettingsError.
    """
    if environ.get("DATABASE_URL") or is_production(environ):
        return {}
    folder, _ = embedded_place(environ)
    secret = _text(folder / SECRET_FILE)
    return {**_switches(_text(folder / SWITCHES_FILE)), **({"JWT_SECRET": secret} if secret else {})}


def _switches(text: str) -> dict[str, str]:
    """The switches in lines of `NAME=value`; malformed and repeated lines are ignored."""
    lines = [found.groups() for line in text.splitlines() if (found := SWITCH.fullmatch(line))]
    names = [name for name, _ in lines]
    return {name: value for name, value in lines if name in SWITCHES and names.count(name) == 1}


def unsaid(given: Mapping[str, str]) -> list[str]:
    """Switches that neither the environment nor the installation's file sets."""
    return [name for name in SWITCHES if not given.get(name)]


def is_installed(environ: Mapping[str, str]) -> bool:
    """Whether DATA_DIR has a cluster or a file of switches."""
    with suppress(SettingsError):
        folder, _ = embedded_place(environ)
        return (folder / SWITCHES_FILE).exists() or any(folder.glob("pg[0-9]*"))
    return False


@contextmanager
def database(
    environ: MutableMapping[str, str], *, exclusive: bool = False, restoring: bool = False, looking: bool = False
) -> Iterator[Settings]:
    """Settings with a database that answers: DATABASE_URL's, else the embedded one for the length of the block.

    An embedded installation has a secret of its own, made once, and the switches with which its SQL was last applied:
    both are kept under DATA_DIR, and the environment goes before them. Where something was applied, or is being
    restored, each switch has to be said by one of the two: the default would be real money. `exclusive` is for the
    embedded one alone: nobody else uses it meanwhile. Nothing is made for who is only `looking`. Raises SettingsError
    before anything starts, but for an installation without a file of switches; NothingMadeError.
    """
    if environ.get("DATABASE_URL") or is_production(environ):
        yield from_environment(environ)
        return
    server, found = postgres(environ), kept(environ)
    given = {"JWT_SECRET": UNMADE, **found, **{name: value for name, value in environ.items() if value}}
    from_environment({**given, "DATABASE_URL": server.url(DATABASE)})
    for name in SWITCHES:
        if found.get(name, given.get(name)) != given.get(name):
            path = server.folder / SWITCHES_FILE
            print(f"ecotrips: {name}={given[name]} here, {found[name]} in {path}", file=sys.stderr)
    if restoring or (server.folder / SWITCHES_FILE).exists():
        _require_said(given, server)
    if looking and (given["JWT_SECRET"] == UNMADE or not server.data.exists()):
        message = f"nothing is made in {server.folder} yet: make run, ecotrips serve and ecotrips db apply do"
        raise NothingMadeError(message)
    with running(server, exclusive=exclusive):
        if unsaid(given):
            is_applied = asyncio.run(_is_applied(server.url(DATABASE)))
            if is_applied:  # by another command since the file was read, or by an older release
                given = {**kept(environ), **given}
                _require_said(given, server)
        if given["JWT_SECRET"] == UNMADE:
            given["JWT_SECRET"] = _kept_secret(server)
        environ.update({**given, "DATABASE_URL": server.url(DATABASE)})
        yield replace(from_environment(environ), embedded=True)


def _require_said(given: Mapping[str, str], server: EmbeddedPostgres) -> None:
    if missing := unsaid(given):
        message = (
            f"{server.folder / SWITCHES_FILE} does not say {', '.join(missing)}, and unsaid they would be live, with"
            " real money: say each in the environment of ecotrips db apply, which keeps them (make run mocks all)"
        )
        raise SettingsError(message)


async def _is_applied(dsn: str) -> bool:
    try:
        connection = await connect(dsn)
    except asyncpg.InvalidCatalogNameError:
        return False
    try:
        return bool(await connection.fetchval("select to_regclass('meta.applied') is not null"))
    finally:
        await connection.close()


# Only for superusers: there every login can make tables and large objects.
NOBODYS = ("postgres", "template1")
CLOSE = """
select format('revoke connect on database %I from public', datname) from pg_database
where datname = any ($1) and has_database_privilege('public', oid, 'connect')
"""


async def create_database(settings: Settings) -> None:
    """Make the database of the settings unless it is there; any number of processes may do so at once.

    Of the embedded server's others, none is for its logins.
    """
    server, _, rest = settings.direct_url.partition(f"/{DATABASE}?")
    if not rest:
        return
    connection = await connect(f"{server}/postgres?{rest}")
    try:
        await apply.take_lock(connection)
        if not await connection.fetchval("select exists (select from pg_database where datname = $1)", DATABASE):
            await connection.execute(f'create database "{DATABASE}"')
        if settings.embedded:
            for row in await connection.fetch(CLOSE, NOBODYS):
                await connection.execute(row[0])
    finally:
        await connection.close()


async def environment_fault(connection: asyncpg.Connection[asyncpg.Record], settings: Settings) -> str | None:
    """Why this process must not use the database: environment or time zone differ."""
    zone = settings.business_timezone
    if not await connection.fetchval("select exists (select from pg_timezone_names where name = $1)", zone):
        return f"BUSINESS_TIMEZONE: the database does not know {zone}; pg_timezone_names holds what it does"
    if await connection.fetchval("select meta.is_production()") == settings.production:
        return None
    if settings.production:
        return "the database does not know that it is production's: run ecotrips db apply in production"
    return "this is a production database: set ECOTRIPS_ENV=production (docs/operate.md, Production)"


async def require_environment(settings: Settings) -> None:
    """Raises SettingsError for environment_fault; a database that is away is waited for by who needs it."""
    try:
        connection = await connect(service_dsn(settings), timeout=10)
    except FAILED:
        return
    try:
        fault = await environment_fault(connection, settings)
    finally:
        await connection.close()
    if fault:
        raise SettingsError(fault)


def apply_sql(settings: Settings, report: Callable[[str], None] = lambda _name: None) -> list[str]:
    """Make the database when it is the embedded one, and apply the shipped SQL. Raises apply.ApplyError.

    The switches of this process are from then on those of psql, and of every command of an embedded installation.
    """

    async def run() -> list[str]:
        await create_database(settings)
        return await apply.apply(
            settings.direct_url,
            apply.shipped(),
            lambda role: role_password(settings, role),
            report,
            production=settings.production,
            switches=settings.switches,
            privacy_secret=settings.privacy_secret,
        )

    if not settings.embedded:
        return asyncio.run(run())
    with locks.held(settings.data_dir / "locks" / "switches"):
        # Before the first SQL: where some is applied the file says all switches, whatever is killed when.
        if unsaid(_switches(_text(settings.data_dir / SWITCHES_FILE))):
            _keep_switches(settings)
        ran = asyncio.run(run())
        _keep_switches(settings)
        return ran


def keep_switches(settings: Settings) -> None:
    """Store the switches of an embedded installation for later commands."""
    if settings.embedded:
        with locks.held(settings.data_dir / "locks" / "switches"):
            _keep_switches(settings)


def _keep_switches(settings: Settings) -> None:
    text = "".join(f"{name}={value}\n" for name, value in settings.switches.items())
    _write(settings.data_dir / SWITCHES_FILE, text)


def _kept_secret(server: EmbeddedPostgres) -> str:
    path = server.folder / SECRET_FILE
    with server.alone():
        if not _text(path):
            _write(path, secrets.token_hex(32))
    return _text(path)


def _text(path: Path) -> str:
    """The file's text; empty when a process was killed while it made the file."""
    return path.read_text(errors="replace") if path.exists() else ""


def _write(path: Path, text: str) -> None:
    """Write a file for its owner only, atomically and one writer at a time."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # What is raised while writing does not name the file.
        raise OSError(error.errno or errno.EIO, error.strerror or "", str(path)) from None
    beside.replace(path)


def token(settings: Settings, role: str, user_id: str | None = None, lifetime: timedelta | None = None) -> str:
    """A signed key (anon, service_role) or a user's token (authenticated, with its uuid)."""
    import jwt  # noqa: PLC0415 - a quarter of the start of every other command

    claims: dict[str, object] = {"role": role, "iss": "ecotrips"}
    if user_id is not None:
        claims["sub"] = user_id
    if lifetime is not None:
        claims["exp"] = int((datetime.now(UTC) + lifetime).timestamp())
    return jwt.encode(claims, settings.jwt_secret, algorithm="HS256")


@contextmanager
def environment_file(settings: Settings) -> Iterator[tuple[Path, dict[str, str]]]:
    """A file for shells to source, and what it holds: DATA_DIR's `dev.env`, for the length of the block.

    A second server of the same folder has `dev-<port>.env` instead, so that the first one's stays as it is.
    """
    address = f"http://127.0.0.1:{settings.port}"
    values = {
        "BASE_URL": address,
        "SUPABASE_URL": address,
        "SUPABASE_ANON_KEY": token(settings, "anon"),
        "SUPABASE_SERVICE_ROLE_KEY": token(settings, "service_role"),
        "JWT_SECRET": settings.jwt_secret,
        "DATABASE_URL": settings.database_url,
        "OPS_TOKEN": token(settings, "authenticated", OPS_USER, TOKEN_LIFETIME),
        "USER_TOKEN": token(settings, "authenticated", TRAVELLER, TOKEN_LIFETIME),
        # So that commands of a shell that sources this mock what the server mocks.
        **settings.switches,
    }
    lock = locks.attempt(settings.data_dir / "locks" / "dev.env")
    path = settings.data_dir / ("dev.env" if lock is not None else f"dev-{settings.port}.env")
    _write(path, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()))
    try:
        yield path, values
    finally:
        if lock is not None:
            os.close(lock)
