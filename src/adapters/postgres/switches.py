"""Run-time switches: the environment's defaults under the rows of ops.flags, as ops.flag() says what is in force."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from src.adapters.postgres.database import SETTINGS, Database
from src.domain.context import SERVICE, Context
from src.domain.errors import Unavailable

IN_FORCE = (
    f"{SETTINGS} select (select json_object_agg(name, ops.flag(name))"  # noqa: S608 - constants
    " from json_object_keys($3::json) as name where s is not null)::text from s"
)
CONTEXT = Context(SERVICE, "switches")


class PostgresSwitches:
    """Knows them by heart while notifications of their changes arrive (`fresh()`), else asks each time.

    With the database away the last known rows stand: a switch never falls back to another mode by accident.
    """

    def __init__(self, database: Database, defaults: Mapping[str, str], fresh: Callable[[], bool]) -> None:
        self._database = database
        self._fresh = fresh
        self._known = dict(defaults)

    async def value(self, name: str) -> str:
        return (await self.all())[name]

    async def all(self) -> dict[str, str]:
        # One turn of the loop: a notification that reached us before this request is obeyed by it.
        await asyncio.sleep(0)
        if not self._fresh():
            with suppress(Unavailable):
                await self.refresh()
        return self._known

    async def refresh(self) -> None:
        """Read the rows again."""
        text = await self._database.value(CONTEXT, IN_FORCE)
        self._known = msgspec.json.decode(str(text), type=dict[str, str])
