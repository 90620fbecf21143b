from typing import Protocol
from uuid import UUID

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.refunds import ItineraryRefundRequest, Refund, RefundOutcome, RefundRequest


class Refunds(Protocol):
    """Keeps refunds."""

    async def request(self, context: Context, asked: RefundRequest) -> Answered[Refund]:
        """Set a refund aside. Raises NotFound, Conflict, InputInvalid when it is more than is left."""

    async def request_for_itinerary(self, context: Context, asked: ItineraryRefundRequest) -> Answered[Refund]:
        """The same for ops. Raises NotFound also when the itinerary has no payment with something left."""

    async def record(self, context: Context, refund_id: UUID, outcome: RefundOutcome) -> Answered[Refund]:
        """Store what the provider said; what comes late or again changes nothing."""

    async def claim_due(self, context: Context) -> list[Refund]:
        """Lease pending refunds whose next try has come."""


class RefundProvider(Protocol):
    """Gives money back."""

    async def refund(self, refund: Refund) -> RefundOutcome:
        """Make the refund, once for its provider key, or tell how it stands. Raises ProviderFailed, ProviderUnknown."""
