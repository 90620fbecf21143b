"""What a process keeps of the database, and whether that is older than a known change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from src.database.background import Outage, stopped, supervised

# Seconds that a start waits for the first refresh; after that it goes on behind.
START_TIMEOUT = 10.0
# Seconds for which a change may be unknown while the reading goes on well: any login can notify, and all the time.
GRACE = 3.0
# Seconds between two refreshes of changes that never end, so that they take a third of the time.
MIN_PAUSE, MAX_PAUSE = 0.1, 1.0


class Refresher:
    """Runs `refresh` after each change, again and again until it succeeds, whatever fails.

    Changes that come while one runs cost one more refresh after it, and after a pause, however many they are.
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
        """Whether no refresh that began after the newest change has succeeded yet."""
        return self._known < self._changes

    @property
    def behind(self) -> bool:
        """Whether it is stale and not just being refreshed after a change that was heard.

        Nothing was read yet, that failed, changes may have been missed, or it takes too long.
        """
        return self.stale and (self._failed or self._known < self._unheard or time.monotonic() - self._since > GRACE)

    def changed(self, *, unheard: bool = False) -> None:
        """Something changed, or may have changed `unheard`, at whatever time."""
        if not self.stale:
            self._since = time.monotonic()
        self._changes += 1
        if unheard:
            self._unheard = self._changes
        self._changed.set()

    async def start(self) -> None:
        """Refresh, and from now on after each change. Returns when that was tried once, or takes long."""
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
            # Whatever is not known now came after that.
            self._known, self._since, self._failed = changes, began, False
            outage.over()
            if self.stale:
                await asyncio.sleep(min(max(2 * (time.monotonic() - began), MIN_PAUSE), MAX_PAUSE))
