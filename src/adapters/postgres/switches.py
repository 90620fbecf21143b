"""Run-time switches: the environment's defaults under the rows of ops.flags."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from src.adapters.postgres.database import SETTINGS, Database
from src.domain.context import SERVICE, Context
from src.domain.errors import Unavailable

FLAGS = (
    f"{SETTINGS} select coalesce((select json_object_agg(name, value)"  # noqa: S608 - constants
    " from ops.flags where s is not null), '{}')::text from s"
)
CONTEXT = Context(SERVICE, "switches")


class PostgresSwitches:
    """Knows the rows by heart while notifications of their changes arrive (`fresh()`), else reads them each time.

    With the database away the last known rows stand: a switch never falls back to another mode by accident.
    """

    def __init__(self, database: Database, defaults: Mapping[str, str], fresh: Callable[[], bool]) -> None:
        self._database = database
        self._defaults = dict(defaults)
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
        text = await self._database.value(CONTEXT, FLAGS)
        self._known = {**self._defaults, **msgspec.json.decode(str(text), type=dict[str, str])}
