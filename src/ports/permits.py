from typing import Protocol

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.permits import Decision, Permit, PermitRequest


class Permits(Protocol):
    """Keeps requests for permits. Decisions raise NotFound, and Conflict when the request is not pending any more."""

    async def request(self, context: Context, asked: PermitRequest) -> Answered[Permit]:
        """Raises InputInvalid (a day that has passed), Conflict (the park's daily quota)."""

    async def approve(self, context: Context, decision: Decision) -> Answered[Permit]:
        """Raises NotAllowed unless ops, Conflict (the park's daily quota) too."""

    async def reject(self, context: Context, decision: Decision) -> Answered[Permit]:
        """Raises NotAllowed unless ops."""

    async def cancel(self, context: Context, decision: Decision) -> Answered[Permit]:
        """For the traveller who asked, or ops; another's request is NotFound."""
