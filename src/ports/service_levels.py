from typing import Protocol


class ServiceLevels(Protocol):
    """How well the service does by its own books, over all processes."""

    async def now(self) -> dict[str, float]:
        """Each level by its name; none while the database is away."""
