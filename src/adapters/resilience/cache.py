"""Caches a supplier's answers, and serves stale ones, marked as such, when the supplier fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from src.adapters.resilience.ttl_cache import TtlCache
from src.domain.errors import RateLimited, SupplierFailed, Unavailable
from src.domain.inventory import Question, Reply
from src.domain.resilience import CachedReply
from src.ports.inventory import Supplier
from src.ports.resilience import Cache

OLDEST = 24 * 3600
DEADLINE = 7.8
CACHE_SIZE = 1_000


class Caching:
    """Answers of one origin, from this process's TTL cache, else from the shared cache, else from `inner`."""

    def __init__(self, inner: Supplier, cache: Cache, origin: str) -> None:
        self._inner = inner
        self._cache = cache
        self._origin = origin
        self._fresh: TtlCache[Question, Reply] = TtlCache(CACHE_SIZE)

    async def ask(self, question: Question) -> Reply:
        cached = self._fresh.get(question)
        if cached is not None:
            return cached
        kept = await self._read(question)
        if kept is not None and kept.fresh_seconds > 0:
            return self._fresh.put(question, replace(kept.reply, cached=True), kept.fresh_seconds)
        try:
            reply = await self._in_time(question)
        except (SupplierFailed, RateLimited):
            kept = await self._read(question)
            if kept is None or kept.age_seconds > OLDEST:
                raise
            return replace(kept.reply, cached=True, stale=kept.fresh_seconds <= 0)
        if reply.expires_at is not None and not reply.cached:
            self._fresh.put(question, replace(reply, cached=True), question.fresh_seconds)
        return reply

    async def _in_time(self, question: Question) -> Reply:
        try:
            async with asyncio.timeout(DEADLINE):
                return await self._inner.ask(question)
        except TimeoutError:
            message = "The supplier does not answer in time"
            raise SupplierFailed(message) from None

    async def _read(self, question: Question) -> CachedReply | None:
        try:
            return await self._cache.read(question, self._origin)
        except Unavailable:
            return None
