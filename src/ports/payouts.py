from typing import Protocol
from uuid import UUID

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.payouts import ClaimedPayout, Payout, PayoutOutcome, PayoutsQuery


class Payouts(Protocol):
    """Keeps payouts, one for each escrow."""

    async def request(self, context: Context, escrow_id: UUID) -> Answered[Payout]:
        """Ask for an escrow's payout now. Raises NotFound, NotAllowed."""

    async def claim(self, context: Context, escrow_id: UUID | None = None) -> list[ClaimedPayout]:
        """Lease one batch of payouts that are due, or that of one escrow."""

    async def finish(self, context: Context, claimed: ClaimedPayout, outcome: PayoutOutcome) -> Answered[Payout]:
        """Store what the provider said, unless the lease has passed to somebody else."""

    async def report(self, context: Context, query: PayoutsQuery) -> bytes:
        """Counts and the newest payouts as JSON. Raises NotAllowed."""


class PayoutProvider(Protocol):
    """Moves money out."""

    async def transfer(self, payout: ClaimedPayout) -> str:
        """The provider's id of the transfer, made once for its key. Raises ProviderFailed, ProviderUnknown."""
