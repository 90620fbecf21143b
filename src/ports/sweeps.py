from typing import Protocol

from src.domain.context import Context


class Slots(Protocol):
    """The schedule that all hosts share."""

    async def claim(self, context: Context, name: str, seconds: float) -> bool:
        """Take the running period of `seconds`; False when it is taken or the sweep is backing off."""

    async def finish(self, context: Context, name: str, handled: int) -> None:
        """A turn ended well."""

    async def fail(self, context: Context, name: str, error: str) -> int:
        """A turn failed: nobody tries for a while. Returns how many failed in a row."""
