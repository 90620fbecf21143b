from typing import Protocol

from src.domain.context import Context
from src.domain.counters import Increment


class Counters(Protocol):
    """Counts for clients."""

    async def increment(self, context: Context, increment: Increment) -> bytes:
        """The finished JSON with the counter's new value."""
