from typing import Protocol

from src.domain.context import Context


class Callers(Protocol):
    """What only the database knows about callers."""

    async def is_ops(self, context: Context) -> bool:
        """Whether the caller is ops at this moment."""

    async def take_token(self, context: Context, function: str, per_minute: int, client: str) -> int:
        """0 when the call is within its limit, else the seconds to wait. `client` tells anonymous callers apart."""

    async def purge_tokens(self, context: Context) -> int:
        """Remove one batch of limits that are long full again and say how many."""
