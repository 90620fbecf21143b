"""LISTEN on a connection of its own, which reconnects as long as the process runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import asyncpg

from src.database.background import Outage, stopped, supervised
from src.database.errors import AWAY, DatabaseUnavailable, TranslatedToUnavailable
from src.database.opened import attach
from src.database.refresher import Refresher

# Seconds for connecting, and for each check that the session still listens.
TIMEOUT = 5.0
LISTENED = "select pg_listening_channels()"


class NotListeningError(Exception):
    """The session does not listen, as behind a pooler; DATABASE_DIRECT_URL has to name the server."""


class Notifications:
    """Calls `channels[name]` at each notification, and at each (re)connection, as some may be lost."""

    def __init__(self, dsn: str, channels: Mapping[str, Refresher] | None = None, *, pulse: float = 1.0) -> None:
        self._dsn = dsn
        self._channels = dict(channels or {})
        self._pulse = pulse
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self.listening = False

    def current(self, channel: str) -> bool:
        """Whether all notified changes of the channel were received, but for the last moments."""
        return self.listening and not self._channels[channel].stale

    def add(self, channel: str, refresher: Refresher) -> None:
        """Add a channel. Call it before start()."""
        self._channels[channel] = refresher

    async def start(self) -> None:
        """Listen, and refresh everything once. Failures are retried in the background."""
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
