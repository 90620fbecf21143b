"""`ecotrips db …`: the database of this installation."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import asyncpg

from src.adapters.postgres.seed import seed_demo, seed_volume
from src.commands import local


def start() -> None:
    server = local.postgres(os.environ)
    started = server.start(detached=True)
    print(f"{'started' if started else 'already running'}: {server.url()}")


def stop() -> None:
    print("stopped" if local.postgres(os.environ).stop() else "not running")


def status() -> int:
    """0 when the embedded server runs, else 3, as init scripts do."""
    server = local.postgres(os.environ)
    pid = server.running_pid()
    print(f"running (pid {pid}): {server.url()}" if pid else f"not running: {server.data}")
    return 0 if pid else 3


def apply_sql() -> None:
    with local.database(os.environ) as settings:
        ran = local.apply_sql(settings, lambda name: print(f"  {name}"))
    print(f"{len(ran)} files applied" if ran else "up to date")


def seed(*, demo: bool, volume: int) -> None:
    with local.database(os.environ) as settings:
        local.apply_sql(settings)
        if demo or not volume:
            print(f"{asyncio.run(seed_demo(settings.direct_url))} demo rows added")
        if volume:
            asyncio.run(seed_volume(settings.direct_url, volume, lambda done: _bar(done, volume)))
            print()


def reset(*, confirmed: bool) -> int:
    """Drop the embedded database and make it anew with the demo data."""
    if not confirmed:
        print("this drops the database; say --yes", file=sys.stderr)
        return 2
    if os.environ.get("DATABASE_URL"):
        print("only the embedded database can be reset; unset DATABASE_URL", file=sys.stderr)
        return 2
    with local.database(os.environ) as settings:
        asyncio.run(_drop(settings.direct_url))
        local.apply_sql(settings)
        print(f"{asyncio.run(seed_demo(settings.direct_url))} demo rows added")
    return 0


def psql(arguments: list[str]) -> int:
    """A psql shell on the database; returns its exit status."""
    with local.database(os.environ) as settings:
        binary = local.postgres(os.environ).bin / "psql"
        return subprocess.run([str(binary), settings.direct_url, *arguments], check=False, stdin=sys.stdin).returncode  # noqa: S603 - the user's own words


async def _drop(dsn: str) -> None:
    connection = await asyncpg.connect(dsn.replace(f"/{local.DATABASE}?", "/postgres?"))
    try:
        await connection.execute(f'drop database if exists "{local.DATABASE}" with (force)')
    finally:
        await connection.close()


def _bar(done: int, total: int, width: int = 40) -> None:
    filled = width * done // total
    print(f"\r[{'#' * filled}{'.' * (width - filled)}] {done:,} of {total:,}", end="", flush=True)
