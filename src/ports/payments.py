from typing import Protocol
from uuid import UUID

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.payments import Checkout, Intent, Payment


class Payments(Protocol):
    """Keeps payments."""

    async def start(self, context: Context, checkout: Checkout) -> Answered[Payment]:
        """The payment of the checkout's key, made when new. Raises NotFound (itinerary), Conflict (other terms)."""

    async def record_intent(self, context: Context, payment_id: UUID, intent: Intent) -> Answered[Payment]:
        """Store the provider's intent and open the ledger. Raises Conflict when the payment has another one."""

    async def record_intent_failure(self, context: Context, payment_id: UUID, error: str, *, definite: bool) -> None:
        """The provider made no intent (`definite`), or nobody knows. `error` is a code."""

    async def claim_due(self, context: Context) -> list[Payment]:
        """Lease payments whose intent is still to be made."""


class PaymentProvider(Protocol):
    """Takes money. Every method raises ProviderFailed, ProviderUnknown, CardDeclined."""

    async def create_intent(self, payment: Payment) -> Intent:
        """The one intent of this payment's provider key, however often it is asked for."""

    async def find_intent(self, intent_id: str) -> Intent:
        """An intent as it stands."""
