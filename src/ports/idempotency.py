from typing import Protocol
from uuid import UUID

from src.domain.context import Context
from src.domain.idempotency import FirstAnswer


class IdempotencyKeys(Protocol):
    """First answers of requests that carry an Idempotency-Key, kept for 24 hours."""

    async def claim(self, context: Context, owner: str, request_hash: bytes) -> FirstAnswer | UUID:
        """The first answer, or a claim when this request is the first that `owner` made under this key.

        Raises InProgress while the first one runs, Conflict when it was another request.
        """

    async def settle(self, context: Context, claim: UUID, answer: FirstAnswer) -> None:
        """Keep the first answer."""

    async def release(self, context: Context, claim: UUID) -> None:
        """Forget a request that had no answer worth keeping, unless its effect has kept one."""

    async def purge(self, context: Context) -> int:
        """Remove one batch of answers older than 24 hours and say how many."""
