"""The local installation under DATA_DIR: its PostgreSQL, its secret, and the file that shells source."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import shlex
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from src.adapters.postgres import apply, locks
from src.adapters.postgres.connections import FAILED
from src.adapters.postgres.embedded import EmbeddedPostgres, binaries, running
from src.adapters.postgres.opened import connect
from src.environment import SettingsError, is_production
from src.logins import role_password, service_dsn
from src.settings import Settings, from_environment

OPS_USER = "22222222-2222-4222-8222-222222222222"
TRAVELLER = "33333333-3333-4333-8333-333333333333"
TOKEN_LIFETIME = timedelta(days=30)
DATABASE = "ecotrips"


def data_dir(environ: MutableMapping[str, str]) -> Path:
    return Path(environ.get("DATA_DIR") or ".data")


def postgres(environ: MutableMapping[str, str]) -> EmbeddedPostgres:
    """The embedded server of this DATA_DIR, running or not."""
    port = environ.get("POSTGRES_PORT")
    return EmbeddedPostgres(
        data_dir(environ).resolve(), binaries(environ.get("POSTGRES_BIN")), port=int(port) if port else None
    )


@contextmanager
def database(environ: MutableMapping[str, str], *, exclusive: bool = False) -> Iterator[Settings]:
    """Settings with a database that answers: DATABASE_URL's, else the embedded one for the length of the block.

    Without JWT_SECRET an embedded installation uses its own, made once and kept under DATA_DIR. `exclusive` is for the
    embedded one alone: nobody else uses it meanwhile.
    """
    if environ.get("DATABASE_URL") or is_production(environ):
        yield from_environment(environ)
        return
    with running(postgres(environ), exclusive=exclusive) as server:
        environ["DATABASE_URL"] = server.url(DATABASE)
        if "JWT_SECRET" not in environ:
            environ["JWT_SECRET"] = _kept_secret(server)
        yield from_environment(environ)


async def create_database(dsn: str) -> None:
    """Make the database of a DSN unless it is there; any number of processes may do so at once."""
    server, _, rest = dsn.partition(f"/{DATABASE}?")
    if not rest:
        return
    connection = await connect(f"{server}/postgres?{rest}")
    try:
        await apply.take_lock(connection)
        if not await connection.fetchval("select exists (select from pg_database where datname = $1)", DATABASE):
            await connection.execute(f'create database "{DATABASE}"')
    finally:
        await connection.close()


async def environment_fault(connection: asyncpg.Connection[asyncpg.Record], settings: Settings) -> str | None:
    """What keeps this process from the database: one of the two is production's and the other is not."""
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
    """Make the database when it is the embedded one, and apply the shipped SQL. Raises apply.ApplyError."""

    async def run() -> list[str]:
        await create_database(settings.direct_url)
        return await apply.apply(
            settings.direct_url,
            apply.shipped(),
            lambda role: role_password(settings, role),
            report,
            production=settings.production,
            switches=settings.switches,
        )

    return asyncio.run(run())


def _kept_secret(server: EmbeddedPostgres) -> str:
    path = server.folder / "jwt_secret"
    if not _kept(path):
        with server.alone():
            if not _kept(path):
                _write(path, secrets.token_hex(32))
    return _kept(path)


def _kept(path: Path) -> str:
    """Empty is what a process leaves that is killed while it makes a file in place."""
    return path.read_text() if path.exists() else ""


def _write(path: Path, text: str) -> None:
    """Write a file of the owner alone. Whoever reads it finds all of it or what was there before; one at a time."""
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
