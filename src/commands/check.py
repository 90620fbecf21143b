"""`ecotrips check`: everything the service depends on, each with a verdict; the exit status is 0 when all is well."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import msgspec

from src import production
from src.adapters.postgres import apply
from src.adapters.postgres.database import LOGIN_ROLES
from src.commands import local
from src.commands.arguments import Commands
from src.logins import login_dsn
from src.settings import LIVE_SWITCHES, Settings, SettingsError

OLDEST_POSTGRES = 15
LARGEST_SKEW_SECONDS = 2
SHORTEST_SECRET = 32


@dataclass(frozen=True, slots=True)
class Verdict:
    """One part: `well` is None when it was not looked at."""

    part: str
    well: bool | None
    detail: str

    def __str__(self) -> str:
        mark = {True: "ok  ", False: "BAD ", None: "-   "}[self.well]
        return f"{mark} {self.part:<14} {self.detail}"


def add(commands: Commands) -> None:
    commands.add_parser("check", help="look at everything the service depends on").set_defaults(run=_check)


def _check(_arguments: argparse.Namespace) -> int:
    """Print a line for each part; 0 when none is bad, else 1."""
    verdicts: list[Verdict] = []
    try:
        with local.database(os.environ) as settings:
            verdicts = asyncio.run(_verdicts(settings))
    except SettingsError as error:
        verdicts = [Verdict("settings", well=False, detail=str(error).replace("\n", " "))]
    for verdict in verdicts:
        print(verdict)
    return 0 if all(verdict.well is not False for verdict in verdicts) else 1


async def _verdicts(settings: Settings) -> list[Verdict]:
    found = [_settings(settings), _keys(settings)]
    try:
        connection = await asyncpg.connect(settings.database_url, timeout=5)
    except (OSError, asyncpg.PostgresError) as error:
        return [*found, Verdict("database", well=False, detail=f"does not answer: {type(error).__name__}")]
    try:
        found.extend([verdict async for verdict in _database(connection)])
    finally:
        await connection.close()
    found.append(await _roles(settings))
    return found


def _settings(settings: Settings) -> Verdict:
    mocks = [name for name, value in settings.switches.items() if value != LIVE_SWITCHES[name]]
    mode = "production" if settings.production else "not production (ECOTRIPS_ENV)"
    return Verdict("settings", well=True, detail=f"{mode}; mocks: {', '.join(mocks) or 'none'}")


def _keys(settings: Settings) -> Verdict:
    if len(settings.jwt_secret) < SHORTEST_SECRET:
        return Verdict("keys", well=False, detail=f"JWT_SECRET is shorter than {SHORTEST_SECRET} characters")
    missing = [name for name in production.REQUIRED if not os.environ.get(name)]
    return Verdict("keys", well=True, detail=f"not set: {', '.join(missing)}" if missing else "all set")


async def _database(connection: asyncpg.Connection) -> AsyncIterator[Verdict]:
    version = connection.get_server_version()
    yield Verdict(
        "database", well=version.major >= OLDEST_POSTGRES, detail=f"PostgreSQL {version.major}.{version.minor}"
    )
    before = time.time()
    database_time = float(await connection.fetchval("select extract(epoch from clock_timestamp())"))
    skew = database_time - (before + time.time()) / 2
    yield Verdict("clock", well=abs(skew) <= LARGEST_SKEW_SECONDS, detail=f"database is {skew:+.3f} s from here")
    if not await connection.fetchval("select to_regclass('meta.applied') is not null"):
        yield Verdict("sql", well=False, detail="nothing applied: run ecotrips db apply")
        return
    same = await connection.fetchval(apply.DIGEST_OF_DATABASE) == apply.digest(apply.shipped())
    yield Verdict("sql", well=same, detail="as shipped" if same else "differs: run ecotrips db apply")
    if not same:
        return
    levels = msgspec.json.decode(await connection.fetchval("select ops.service_levels()::text"), type=dict[str, float])
    yield Verdict("service levels", well=True, detail=", ".join(f"{name}={value:g}" for name, value in levels.items()))


async def _roles(settings: Settings) -> Verdict:
    for role in LOGIN_ROLES.values():
        try:
            connection = await asyncpg.connect(login_dsn(settings, role), timeout=5)
        except (OSError, asyncpg.PostgresError) as error:
            return Verdict("roles", well=False, detail=f"{role} cannot log in: {type(error).__name__}")
        await connection.close()
    return Verdict("roles", well=True, detail=f"{', '.join(LOGIN_ROLES.values())} log in")
