from typing import Protocol


class Switches(Protocol):
    """The run-time switches: the environment's default, overridden by a row that obeys at once."""

    async def value(self, name: str) -> str:
        """The value in force now."""

    async def all(self) -> dict[str, str]:
        """Every switch with its value in force."""
