from typing import Protocol
from uuid import UUID

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.groups import Contributed, Contribution, Escrow, Joining, Membership, NewEscrow, NewGroup
from src.domain.payments import Intent
from src.domain.payouts import Expired


class Groups(Protocol):
    """Keeps groups, their members and what they contribute."""

    async def create(self, context: Context, group: NewGroup) -> Answered[Membership]:
        """The owner's membership of a new group. Raises NotFound (itinerary), InputInvalid (nobody to own it)."""

    async def join(self, context: Context, joining: Joining) -> Answered[Membership]:
        """Raises NotFound, Conflict when the group takes nobody."""

    async def contribute(self, context: Context, contribution: Contribution) -> Answered[Contributed]:
        """Count a contribution and begin its payment. Raises NotFound, NotAllowed, Conflict, InputInvalid."""

    async def record_intent(self, context: Context, contribution_id: UUID, intent: Intent) -> Answered[Contributed]:
        """Store the provider's intent for the contribution's payment."""


class Escrows(Protocol):
    """Keeps what groups collect."""

    async def create(self, context: Context, escrow: NewEscrow) -> Answered[Escrow]:
        """Raises NotFound, NotAllowed (not the owner), Conflict, InputInvalid (deadline)."""

    async def cancel(self, context: Context, escrow_id: UUID) -> Answered[Escrow]:
        """Raises NotFound, NotAllowed, Conflict."""

    async def expire_due(self, context: Context) -> list[Expired]:
        """Expire one batch of escrows whose deadline has passed."""

    async def request_refunds(self, context: Context) -> int:
        """Ask for one batch of the refunds that closed escrows owe, and say how many."""
