"""Large requests take turns: between two of them everybody else who waits is served."""

from __future__ import annotations

import asyncio


class Turns:
    """Of one process. What follows a turn without waiting for anything is done in it."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def take(self) -> None:
        """Before something large is made something of."""
        await self._lock.acquire()
        # Called when this task waits again or ends, behind all that is ready to run by then.
        asyncio.get_running_loop().call_soon(self._lock.release)
