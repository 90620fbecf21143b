"""`ecotrips check`: a verdict on each dependency; the exit status is 0 when all are well."""

from __future__ import annotations

import argparse
import asyncio
import os

import asyncpg

from src.commands import check_database, local
from src.commands.arguments import Commands
from src.commands.verdict import Verdict
from src.database.errors import FAILED
from src.database.opened import connect
from src.edge.errors import SettingsError
from src.logins import service_dsn
from src.settings import LIVE_SWITCHES, Settings, faults_in_production
from src.settings.weakness import MIN_SECRET_LENGTH


def add(commands: Commands) -> None:
    commands.add_parser("check", help="look at everything the service depends on").set_defaults(run=_check)


def _check(_arguments: argparse.Namespace) -> int:
    """Print a line for each part; 0 when none is bad, else 1. Changes nothing."""
    verdicts: list[Verdict] = []
    try:
        with local.database(os.environ, looking=True) as settings:
            verdicts = asyncio.run(_verdicts(settings))
    except local.NothingMadeError as error:
        verdicts = [Verdict("database", well=False, detail=str(error))]
    except SettingsError as error:
        verdicts = [
            Verdict(
                "settings",
                well=False,
                detail=str(error).replace(":\n  ", ": ").replace("\n  ", "; ").replace("\n", "; "),
            )
        ]
    for verdict in verdicts:
        print(verdict)
    bad = [verdict.part for verdict in verdicts if verdict.well is False]
    print(f"not well: {', '.join(bad)}" if bad else "all well")
    return 1 if bad else 0


async def _verdicts(settings: Settings) -> list[Verdict]:
    from src.commands import check_providers  # noqa: PLC0415 - its HTTP client is nothing that other commands need

    found = [_settings(settings), _keys(settings)]
    switches = dict(settings.switches)
    newest, hosts = None, 0
    try:
        connection = await connect(service_dsn(settings), timeout=5)
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        detail = f"refuses the service's login: run ecotrips db apply, unless what it says has another cause: {error}"
        found.append(Verdict("database", well=False, detail=detail))
    except FAILED as error:
        found.append(Verdict("database", well=False, detail=f"does not answer: {type(error).__name__}: {error}"))
    else:
        try:
            found.extend([verdict async for verdict in check_database.verdicts(connection)])
            if await connection.fetchval("select to_regclass('meta.environment') is not null"):
                if fault := await local.environment_fault(connection, settings):
                    found.append(Verdict("environment", well=False, detail=fault))
                if await connection.fetchval("select to_regprocedure('privacy.service_key_id()') is not null"):
                    kept = await connection.fetchval("select privacy.service_key_id()")
                    found.append(check_database.privacy_key(kept, settings.privacy_secret))
                rows = await connection.fetch("select name, ops.flag(name) as value from ops.flags")
                switches |= {row["name"]: row["value"] for row in rows}
                newest, hosts = await check_database.newest_document(connection), await check_database.hosts(connection)
        finally:
            await connection.close()
        found.append(await check_database.roles(settings))
    found.append(await check_providers.storage(settings, newest, hosts))
    return [*found, *await check_providers.verdicts(settings, switches)]


def _settings(settings: Settings) -> Verdict:
    mocks = [name for name, value in settings.switches.items() if value != LIVE_SWITCHES[name]]
    mode = "production" if settings.production else "not production (ECOTRIPS_ENV)"
    return Verdict("settings", well=True, detail=f"{mode}; mocks: {', '.join(mocks) or 'none'}")


def _keys(settings: Settings) -> Verdict:
    if len(settings.jwt_secret) < MIN_SECRET_LENGTH:
        return Verdict("keys", well=False, detail=f"JWT_SECRET is shorter than {MIN_SECRET_LENGTH} characters")
    unfit = faults_in_production(os.environ)
    return Verdict("keys", well=True, detail=f"for production: {'; '.join(unfit)}" if unfit else "fit for production")
