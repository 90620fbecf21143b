"""LISTEN on one connection of its own, reconnecting for as long as the process lives."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import asyncpg

from src.database.background import Outage, stopped, supervised
from src.database.errors import AWAY, DatabaseUnavailable, TranslatedToUnavailable
from src.database.opened import attach
from src.database.refresher import Refresher

# Seconds for a connection that listens, and for each look whether it still does.
TIMEOUT = 5.0
LISTENED = "select pg_listening_channels()"


class NotListeningError(Exception):
    """The session does not listen. Behind a pooler none does: there DATABASE_DIRECT_URL names the server."""


class Notifications:
    """Tells `channels[name]` of each notification on that channel, and of each (re)connection: some may be missed."""

    def __init__(self, dsn: str, channels: Mapping[str, Refresher] | None = None, *, pulse: float = 1.0) -> None:
        self._dsn = dsn
        self._channels = dict(channels or {})
        self._pulse = pulse
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self.listening = False

    def current(self, channel: str) -> bool:
        """Whether all changes that were notified on the channel are known. A moment's silence is not noticed."""
        return self.listening and not self._channels[channel].stale

    def add(self, channel: str, refresher: Refresher) -> None:
        """Hear one more channel, from the next connection on: call it before start()."""
        self._channels[channel] = refresher

    async def start(self) -> None:
        """Listen, and refresh all once. What fails goes on behind."""
        self._task = supervised("the listener", self._listen)
        await self._tried.wait()
        await asyncio.gather(*(refresher.start() for refresher in self._channels.values()))

    async def stop(self) -> None:
        await stopped(self._task)
        await asyncio.gather(*(refresher.stop() for refresher in self._channels.values()))

    async def _listen(self, outage: Outage) -> None:
        with TranslatedToUnavailable():
            await self._session(outage)

    async def _session(self, outage: Outage) -> None:
        connection = None
        lost = asyncio.Event()
        try:
            async with asyncio.timeout(TIMEOUT):
                connection = await attach(self._dsn)
                connection.add_termination_listener(lambda _connection: lost.set())
                for channel in self._channels:
                    await connection.add_listener(channel, self._notified)
                await self._require_listening(connection)
            for refresher in self._channels.values():
                refresher.changed(unheard=True)
            self.listening = True
            self._tried.set()
            while not await _within(self._pulse, lost):
                await self._require_listening(connection)
                outage.over()
            raise DatabaseUnavailable(AWAY)
        finally:
            self.listening = False
            self._tried.set()
            if connection is not None:
                connection.terminate()

    async def _require_listening(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        found = await connection.fetch(LISTENED, timeout=TIMEOUT)
        if not self._channels.keys() <= {name for (name,) in found}:
            raise NotListeningError

    def _notified(self, _connection: object, _pid: int, channel: str, _payload: object) -> None:
        self._channels[channel].changed()


async def _within(seconds: float, event: asyncio.Event) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False
