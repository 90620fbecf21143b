"""A circuit breaker that all processes share.

It opens after five failures in a row, and one successful probe closes it. pybreaker judges outcomes without awaiting. A
judgement is written back only if the state has not changed meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace

import pybreaker

from src.domain.errors import (
    CircuitOpen,
    CredentialsRefused,
    DomainError,
    QuotaSpent,
    RateLimited,
    SupplierFailed,
    Unavailable,
)
from src.domain.inventory import Question, Reply
from src.domain.resilience import CircuitState
from src.ports.inventory import Supplier
from src.ports.resilience import CircuitStore

FAILURES = 5
COOLDOWN = 60
PROBE_SECONDS = 10
CONFLICTS = 50


class Circuit:
    """A supplier behind its circuit. `state` is closed, open or half-open, as last read."""

    def __init__(self, inner: Supplier, store: CircuitStore) -> None:
        self._inner = inner
        self._store = store
        self._known = CircuitState()
        self._heard_at = time.monotonic()

    @property
    def state(self) -> str:
        rested = not self._known.forced and time.monotonic() - self._heard_at >= self._known.retry_after
        return "half-open" if self._known.state == "open" and rested else self._known.state

    async def refresh(self, store: CircuitStore) -> None:
        """Read the state from `store` again. Raises Unavailable."""
        found = await store.read()
        # A state older than the newest outcome is ignored.
        if found.version >= self._known.version:
            self._hear(found)

    async def ask(self, question: Question) -> Reply:
        admitted = await self._admitted()
        try:
            reply = await self._inner.ask(question)
        except CredentialsRefused:
            if admitted.probing:
                await self._release(admitted)
            raise
        except (SupplierFailed, RateLimited) as error:
            await self._judge(admitted, error)
            raise
        except DomainError:
            # A refusal is an answer, so the supplier is up.
            await self._judge(admitted, None)
            raise
        except BaseException:
            # A cancelled caller or a bug of ours says nothing about the supplier.
            if admitted.probing:
                await asyncio.shield(self._release(admitted))
            raise
        await self._judge(admitted, None)
        return reply

    async def _admitted(self) -> CircuitState:
        try:
            self._hear(await self._store.admit(PROBE_SECONDS))
        except Unavailable:
            # While the database is away the last known state counts.
            self._hear(replace(self._known, state=self.state, retry_after=1 if self.state == "half-open" else 0))
        if self._known.state == "closed" or self._known.probing:
            return self._known
        message = "The supplier is not called for now"
        raise CircuitOpen(message, self._known.retry_after or 1)

    async def _judge(self, admitted: CircuitState, error: Exception | None) -> None:
        now = admitted
        for _ in range(CONFLICTS):
            if now.forced or now.epoch != admitted.epoch or (error is None and not now.failures and not now.probing):
                return
            after = judged(now, error)
            try:
                other = await self._store.judge(now, after, type(error).__name__ if error else "")
            except Unavailable:
                self._hear(after)
                return
            if other is None:
                self._hear(replace(after, version=now.version + 1, probing=False))
                return
            if admitted.probing:
                return
            now = other

    async def _release(self, probe: CircuitState) -> None:
        with suppress(Unavailable):
            await self._store.release(probe)

    def _hear(self, state: CircuitState) -> None:
        self._known = state
        self._heard_at = time.monotonic()


def judged(before: CircuitState, error: Exception | None) -> CircuitState:
    """What one outcome makes of a circuit."""
    name = pybreaker.STATE_HALF_OPEN if before.probing else pybreaker.STATE_CLOSED
    storage = pybreaker.CircuitMemoryStorage(name)
    for _ in range(before.failures):
        storage.increment_counter()
    breaker = pybreaker.CircuitBreaker(fail_max=FAILURES, reset_timeout=COOLDOWN, state_storage=storage)
    with suppress(pybreaker.CircuitBreakerError, SupplierFailed, RateLimited):
        breaker.call(_outcome, error)
    if isinstance(error, QuotaSpent):
        breaker.open()
    opened = breaker.current_state == pybreaker.STATE_OPEN
    cooldown = max(COOLDOWN, error.retry_after) if isinstance(error, QuotaSpent) else COOLDOWN
    return replace(
        before,
        state="open" if opened else "closed",
        failures=0 if error is None else breaker.fail_counter,
        retry_after=cooldown if opened else 0,
    )


def _outcome(error: Exception | None) -> None:
    if error is not None:
        raise error
