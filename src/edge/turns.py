"""Large requests take turns, so that small ones are served in between."""

from __future__ import annotations

import asyncio

# The pause after a turn, in seconds, is as long as the turn, up to this maximum.
MAX_PAUSE = 0.02


class Turns:
    """The turns of one process. A turn lasts until its task waits."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def take(self) -> None:
        """Wait for a turn before large work."""
        await self._lock.acquire()
        loop = asyncio.get_running_loop()
        # Called after this task next waits or ends, and after everything ready by then.
        loop.call_soon(self._end, loop, loop.time())

    def _end(self, loop: asyncio.AbstractEventLoop, began: float) -> None:
        loop.call_later(min(loop.time() - began, MAX_PAUSE), self._lock.release)
