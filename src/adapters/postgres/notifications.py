"""LISTEN on one connection of its own, reconnecting for as long as the process lives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping

import asyncpg

from src.adapters.postgres.connections import FAILED

log = logging.getLogger(__name__)

Refresh = Callable[[], Awaitable[None]]


class Notifications:
    """Calls `channels[name]()` after each notification on that channel and after every (re)connection.

    `connected` is False while notifications may be missed: what was learnt from them must be read afresh.
    """

    def __init__(self, dsn: str, channels: Mapping[str, Refresh], *, pulse: float = 1.0) -> None:
        self._dsn = dsn
        self._channels = dict(channels)
        self._pulse = pulse
        self._task: asyncio.Task[None] | None = None
        self._listening = False
        self._refreshing: set[asyncio.Task[None]] = set()

    @property
    def connected(self) -> bool:
        # Until a refresh has ended the old knowledge is wrong.
        return self._listening and not self._refreshing

    def add(self, channel: str, refresh: Refresh) -> None:
        """Hear one more channel, from the next connection on: call it before start()."""
        self._channels[channel] = refresh

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        patience = self._pulse
        while True:
            try:
                await self._listen()
            except FAILED as error:
                log.warning("notifications are away: %s", type(error).__name__)
            finally:
                self._listening = False
            await asyncio.sleep(patience)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=5)
        try:
            for channel in self._channels:
                await connection.add_listener(channel, self._notified)
            for refresh in self._channels.values():
                await refresh()
            self._listening = True
            while not connection.is_closed():
                await asyncio.sleep(self._pulse)
                await connection.execute("select 1", timeout=5)
        finally:
            connection.terminate()

    def _notified(self, _connection: object, _pid: int, channel: str, _payload: object) -> None:
        task = asyncio.create_task(self._refresh(channel))
        self._refreshing.add(task)
        task.add_done_callback(self._refreshing.discard)

    async def _refresh(self, channel: str) -> None:
        try:
            await self._channels[channel]()
        except BaseException:
            # What could not be learnt counts as missed, until the next connection learns all of it.
            self._listening = False
            raise
