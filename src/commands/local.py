"""The local installation under DATA_DIR: its PostgreSQL, its secret, and the file that shells source."""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from src.adapters.postgres import apply
from src.adapters.postgres.embedded import EmbeddedPostgres, binaries, running
from src.logins import role_password
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
def database(environ: MutableMapping[str, str]) -> Iterator[Settings]:
    """Settings with a database that answers: DATABASE_URL's, else the embedded one for the length of the block.

    Without JWT_SECRET an embedded installation uses its own, made once and kept under DATA_DIR.
    """
    if environ.get("DATABASE_URL"):
        yield from_environment(environ)
        return
    with running(postgres(environ)) as server:
        environ["DATABASE_URL"] = server.url(DATABASE)
        environ.setdefault("JWT_SECRET", _kept_secret(data_dir(environ)))
        yield from_environment(environ)


async def create_database(dsn: str) -> None:
    """Make the database of a DSN unless it is there."""
    server, _, rest = dsn.partition(f"/{DATABASE}?")
    if not rest:
        return
    connection = await asyncpg.connect(f"{server}/postgres?{rest}")
    try:
        if not await connection.fetchval("select exists (select from pg_database where datname = $1)", DATABASE):
            await connection.execute(f'create database "{DATABASE}"')
    finally:
        await connection.close()


def apply_sql(settings: Settings, report: Callable[[str], None] = lambda _name: None) -> list[str]:
    """Make the database when it is the embedded one, and apply the shipped SQL. Raises apply.ApplyError."""

    async def run() -> list[str]:
        await create_database(settings.direct_url)
        return await apply.apply(
            settings.direct_url, apply.shipped(), lambda role: role_password(settings, role), report
        )

    return asyncio.run(run())


def _kept_secret(folder: Path) -> str:
    path = folder / "jwt_secret"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text()


def token(settings: Settings, role: str, user_id: str | None = None, lifetime: timedelta | None = None) -> str:
    """A signed key (anon, service_role) or a user's token (authenticated, with its uuid)."""
    import jwt  # noqa: PLC0415 - a quarter of the start of every other command

    claims: dict[str, object] = {"role": role, "iss": "ecotrips"}
    if user_id is not None:
        claims["sub"] = user_id
    if lifetime is not None:
        claims["exp"] = int((datetime.now(UTC) + lifetime).timestamp())
    return jwt.encode(claims, settings.jwt_secret, algorithm="HS256")


def write_environment_file(settings: Settings) -> dict[str, str]:
    """Write `dev.env` under DATA_DIR, readable by its owner only, and return what it holds."""
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
    path = settings.data_dir / "dev.env"
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())
    return values
