"""Run-time switches: the environment's defaults, overridden by ops.flags."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import asyncpg

from src.adapters.postgres.answers import decoded
from src.adapters.postgres.database import SETTINGS, Database
from src.domain.context import SERVICE, Context
from src.domain.errors import DomainError

IN_FORCE = (
    f"{SETTINGS} select (select json_object_agg(name, ops.flag(name))"  # noqa: S608 - constants
    " from json_object_keys($3::json) as name where s is not null)::text from s"
)
CONTEXT = Context(SERVICE, "switches")


class PostgresSwitches:
    """Caches the switches while notifications arrive (`fresh()`), else reads them at each use.

    `aside` reads them after a notification, as callers may hold all connections of `database`. While the database is
    away the last known values hold, so a switch never falls back by accident.
    """

    def __init__(
        self, database: Database, aside: Database, defaults: Mapping[str, str], fresh: Callable[[], bool]
    ) -> None:
        self._database = database
        self._aside = aside
        self._fresh = fresh
        self._known = dict(defaults)
        self._readings = self._newest = 0

    async def value(self, name: str) -> str:
        return (await self.all())[name]

    async def all(self) -> dict[str, str]:
        # Lets the loop handle a notification that has arrived already.
        await asyncio.sleep(0)
        if not self._fresh():
            with suppress(DomainError, asyncpg.PostgresError):
                await self._read(self._database)
        return self._known

    async def refresh(self) -> None:
        """Raises what the database raises."""
        await self._read(self._aside)

    async def _read(self, database: Database) -> None:
        self._readings += 1
        reading = self._readings
        text = await database.value(CONTEXT, IN_FORCE)
        if reading < self._newest:
            # A refresh that began later has ended and is newer.
            return
        self._newest = reading
        self._known = decoded(str(text), dict[str, str])
