"""What is measured: a PostgreSQL of its own, databases of a given volume, and on each a service process."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from bench.proc import own_megabytes, processor_seconds, resident_megabytes, tree
from src.adapters.postgres.seed import seed_demo, seed_volume
from src.commands.local import OPS_USER, token
from src.database import apply
from src.database.embedded import EmbeddedPostgres, binaries, running
from src.logins import role_password
from src.settings import Settings
from tests.support.postgres import settings as settings_of
from tests.support.processes import ServerProcess, server

# Data stays between runs, so that only the first one waits for a million rows.
FOLDER = Path(os.environ.get("BENCH_DATA", ".data/bench")).resolve()


@dataclass(frozen=True, slots=True)
class Service:
    """One `ecotrips serve` on one database."""

    process: ServerProcess
    settings: Settings

    @property
    def address(self) -> str:
        return self.process.address

    def dsn(self, role: str) -> str:
        parts = urlsplit(self.settings.database_url)
        return urlunsplit(parts._replace(netloc=f"{role}@"))

    def processor_seconds(self) -> float:
        return processor_seconds(self.process.process.pid)

    def resident_megabytes(self) -> float:
        """Of the worker: the one process that the server's first one has started."""
        return resident_megabytes(self._worker)

    def own_megabytes(self) -> float:
        """Of the worker, without what it shares with other processes."""
        return own_megabytes(self._worker)

    @property
    def _worker(self) -> int:
        _, worker = tree(self.process.process.pid)
        return worker


@dataclass(slots=True)
class Stack:
    """Services by name, all on one PostgreSQL."""

    postgres: EmbeddedPostgres
    services: dict[str, Service] = field(default_factory=dict)
    start_seconds: float = 0

    def database_seconds(self) -> float:
        return processor_seconds(self.postgres.running_pid() or 0)

    def execute(self, statement: str, *arguments: object, service: str = "main") -> object:
        """One statement as the administrator; its single value."""
        return asyncio.run(_value(self.services[service].settings.database_url, statement, *arguments))

    def key(self, role: str = "anon") -> dict[str, str]:
        """Headers of a key: `anon` or `service_role`."""
        return {"apikey": token(self._settings, role)}

    def user(self, user_id: str = OPS_USER) -> dict[str, str]:
        """Headers of a user, ops unless another one is named."""
        bearer = token(self._settings, "authenticated", user_id, timedelta(days=1))
        return {**self.key(), "authorization": f"Bearer {bearer}"}

    @property
    def _settings(self) -> Settings:
        return self.services["main"].settings


@contextmanager
def stack(
    volume: int = 0, others: dict[str, int] | None = None, *, bookings_only: bool = False, **environment: str
) -> Iterator[Stack]:
    """A running stack whose service `main` has `volume` made-up itineraries; `others` names more services by volume.

    `bookings_only` leaves out their payments and ledger. `environment` changes the settings of `main`.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    postgres = EmbeddedPostgres(FOLDER, binaries(os.environ.get("POSTGRES_BIN")))
    with ExitStack() as life:
        life.enter_context(running(postgres))
        made = Stack(postgres)
        for name, rows in {"main": volume, **(others or {})}.items():
            dsn = postgres.url(f"{'bookings' if bookings_only else 'volume'}_{rows}")
            asyncio.run(_prepare(postgres.url("postgres"), dsn, rows, bookings_only=bookings_only))
            changes = environment if name == "main" else {}
            began = time.monotonic()
            process = life.enter_context(server(dsn, FOLDER, **changes))
            made.start_seconds = made.start_seconds or time.monotonic() - began
            made.services[name] = Service(process, settings_of(dsn))
        yield made


async def _prepare(administrator: str, dsn: str, rows: int, *, bookings_only: bool) -> None:
    """The database with the shipped SQL, the demo data and `rows` made-up itineraries, made when it is not there."""
    name = urlsplit(dsn).path[1:]
    given = settings_of(dsn)

    async def ready() -> None:
        await apply.apply(dsn, apply.shipped(), lambda role: role_password(given, role))

    if await _value(administrator, "select not exists (select from pg_database where datname = $1)", name):
        await _value(administrator, f'create database "{name}"')
    try:
        await ready()
    except apply.ApplyError:
        # Migrations change until the first release: an older database is made anew.
        await _value(administrator, f'drop database "{name}" with (force)')
        await _value(administrator, f'create database "{name}"')
        await ready()
    await seed_demo(dsn)
    last = "select exists (select from booking.itineraries where id = meta.made_id('itinerary', $1))"
    if rows and not await _value(dsn, last, rows):
        print(f"making {rows:,} itineraries in {name}")
        await seed_volume(dsn, rows, lambda done: print(f"\r{done:,}", end="", flush=True), bookings_only=bookings_only)
        print()


async def _value(dsn: str, statement: str, *arguments: object) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement, *arguments)
    finally:
        await connection.close()
