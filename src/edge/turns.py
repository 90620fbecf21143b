"""Large requests take turns: between two of them everybody else who waits is served."""

from __future__ import annotations

import asyncio

# Seconds. As long as a turn took, and no longer than this, none begins behind it: to be served takes several steps.
MAX_PAUSE = 0.02


class Turns:
    """Of one process. What follows a turn without waiting for anything is done in it."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def take(self) -> None:
        """Before something large is made something of."""
        await self._lock.acquire()
        loop = asyncio.get_running_loop()
        # Called when this task waits again or ends, behind all that is ready to run by then.
        loop.call_soon(self._end, loop, loop.time())

    def _end(self, loop: asyncio.AbstractEventLoop, began: float) -> None:
        loop.call_later(min(loop.time() - began, MAX_PAUSE), self._lock.release)
