from typing import Protocol

from src.domain.health import State


class Readiness(Protocol):
    """Looks at what the service depends on."""

    async def check(self) -> State:
        """Never raises: what is away is a part that is not ok."""
