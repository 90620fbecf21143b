from typing import Protocol
from uuid import UUID

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.inventory import Hold, HoldRequest, Question, Reply


class Supplier(Protocol):
    """Answers questions about hotels. The wrappers of adapters/resilience are suppliers around a supplier."""

    async def ask(self, question: Question) -> Reply:
        """Raises NotFound (no such hotel or plan), Conflict (sold out), RateLimited, SupplierFailed, CircuitOpen."""


class Holds(Protocol):
    """Keeps priced rates."""

    async def find(self, context: Context, user_id: UUID, wanted: HoldRequest) -> Answered[Hold] | None:
        """The hold of this user and key. Raises Conflict when it holds something else."""

    async def place(self, context: Context, user_id: UUID, wanted: HoldRequest, reply: Reply) -> Answered[Hold]:
        """Keep a quote for 15 minutes, once for each user and key."""
