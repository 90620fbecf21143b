"""Run-time switches: the environment's defaults under the rows of ops.flags, as ops.flag() says what is in force."""

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
    """Keeps them while notifications of their changes arrive (`fresh()`), else asks each time.

    `aside` reads them after a notification, when callers may have all of `database`'s connections. With the database
    away, or when it refuses, the last known rows stand: a switch never falls back to another mode by accident.
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
        # One turn of the loop: a notification that reached us before this request is obeyed by it.
        await asyncio.sleep(0)
        if not self._fresh():
            with suppress(DomainError, asyncpg.PostgresError):
                await self._read(self._database)
        return self._known

    async def refresh(self) -> None:
        """Ask again. Raises what the database does."""
        await self._read(self._aside)

    async def _read(self, database: Database) -> None:
        self._readings += 1
        reading = self._readings
        text = await database.value(CONTEXT, IN_FORCE)
        if reading < self._newest:
            # One that began later has ended: it may know of a change that this one does not.
            return
        self._newest = reading
        self._known = decoded(str(text), dict[str, str])
