from typing import Protocol

from src.domain.context import Context
from src.domain.idempotency import FirstAnswer


class IdempotencyKeys(Protocol):
    """First answers of requests that carry an Idempotency-Key, kept for 24 hours."""

    async def claim(self, context: Context, request_hash: bytes) -> FirstAnswer | None:
        """None when this request is the first. Raises InProgress while it runs, Conflict for another request."""

    async def settle(self, context: Context, answer: FirstAnswer) -> None:
        """Keep the first answer."""

    async def release(self, context: Context) -> None:
        """Forget a request that had no answer worth keeping."""

    async def purge(self, context: Context) -> int:
        """Remove one batch of answers older than 24 hours and say how many."""
