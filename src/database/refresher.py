"""Keeps a copy of something in the database current."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from src.database.background import Outage, stopped, supervised

# Seconds that a start waits for the first refresh, which then goes on in the background.
START_TIMEOUT = 10.0
# Seconds for which a copy may be stale while a refresh runs, because any login can notify all the time.
GRACE = 3.0
# The pause between refreshes when changes never end.
MIN_PAUSE, MAX_PAUSE = 0.1, 1.0


class Refresher:
    """Runs `refresh` after each change until it succeeds.

    Changes during a refresh cause one more, after a pause.
    """

    def __init__(self, name: str, refresh: Callable[[], Awaitable[object]]) -> None:
        self._name = name
        self._refresh = refresh
        self._changes = self._known = self._unheard = 0
        self._failed = True
        self._since = 0.0
        self._changed, self._tried = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def stale(self) -> bool:
        """Whether no refresh that began after the newest change has succeeded."""
        return self._known < self._changes

    @property
    def behind(self) -> bool:
        """Whether it is stale, and not just because a refresh is running.

        Nothing was read yet, a refresh failed, changes may have been lost, or it takes too long.
        """
        return self.stale and (self._failed or self._known < self._unheard or time.monotonic() - self._since > GRACE)

    def changed(self, *, unheard: bool = False) -> None:
        """Report a change; `unheard` means that some may have been lost."""
        if not self.stale:
            self._since = time.monotonic()
        self._changes += 1
        if unheard:
            self._unheard = self._changes
        self._changed.set()

    async def start(self) -> None:
        """Refresh now and after each change. Returns after the first attempt or a timeout."""
        if self._task is None:
            self._task = supervised(self._name, self._run)
        self.changed()
        with suppress(TimeoutError):
            async with asyncio.timeout(START_TIMEOUT):
                await self._tried.wait()

    async def stop(self) -> None:
        await stopped(self._task)

    async def _run(self, outage: Outage) -> None:
        while True:
            while not self.stale:
                self._changed.clear()
                await self._changed.wait()
            changes, began = self._changes, time.monotonic()
            try:
                await self._refresh()
            except BaseException:
                self._failed = True
                raise
            finally:
                self._tried.set()
            # Later changes are not part of this refresh.
            self._known, self._since, self._failed = changes, began, False
            outage.over()
            if self.stale:
                await asyncio.sleep(min(max(2 * (time.monotonic() - began), MIN_PAUSE), MAX_PAUSE))
