"""Single flight: one call for equal questions at the same time, in this process and across processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from uuid import UUID, uuid4

from src.domain.errors import SupplierFailed, Unavailable
from src.domain.inventory import Question, Reply, key_of
from src.ports.inventory import Supplier
from src.ports.resilience import Cache

log = logging.getLogger(__name__)

LEASE = 10
LOOK_AGAIN = 0.05
TIMEOUT = 7.5


class SingleFlight:
    """The first caller asks for all of them; a waiter that is cancelled does not cancel it. Answers are cached."""

    def __init__(
        self,
        inner: Supplier,
        cache: Cache,
        origin: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._inner = inner
        self._cache = cache
        self._origin = origin
        self._sleep = sleep
        self._flights: dict[str, asyncio.Task[Reply]] = {}

    async def ask(self, question: Question) -> Reply:
        key = key_of(question)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._fly(question))
            flight.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(flight)

    def _landed(self, key: str, flight: asyncio.Task[Reply]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # every waiter may have been cancelled

    async def _fly(self, question: Question) -> Reply:
        holder = uuid4()
        try:
            async with asyncio.timeout(TIMEOUT):
                while not await self._cache.claim(question, self._origin, holder, LEASE):
                    kept = await self._cache.read(question, self._origin)
                    if kept is not None and kept.fresh_seconds > 0:
                        return replace(kept.reply, cached=True)
                    await self._sleep(LOOK_AGAIN)
                # Another process may have stored the answer before our claim.
                kept = await self._cache.read(question, self._origin)
        except Unavailable:
            return await self._inner.ask(question)
        except TimeoutError:
            message = "The supplier does not answer in time"
            raise SupplierFailed(message) from None
        if kept is not None and kept.fresh_seconds > 0:
            await self._release(question, holder)
            return replace(kept.reply, cached=True)
        try:
            reply = await self._inner.ask(question)
        except BaseException:
            await asyncio.shield(self._release(question, holder))
            raise
        with suppress(Unavailable):
            return replace(reply, expires_at=await self._cache.write(question, reply, holder))
        return reply

    async def _release(self, question: Question, holder: UUID) -> None:
        with suppress(Unavailable):
            await self._cache.release(question, self._origin, holder)
