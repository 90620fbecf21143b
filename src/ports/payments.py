from typing import Protocol
from uuid import UUID

from src.domain.context import Context
from src.domain.payments import Checkout, Intent, Payment


class Payments(Protocol):
    """Keeps payments."""

    async def start(self, context: Context, checkout: Checkout) -> Payment:
        """The payment of the checkout's key, made when new. Raises NotFound (itinerary), Conflict (other terms)."""

    async def record_intent(self, context: Context, payment_id: UUID, intent: Intent) -> Payment:
        """Store the provider's intent and open the ledger. Raises Conflict when the payment has another one."""


class PaymentProvider(Protocol):
    """Takes money."""

    async def create_intent(self, payment: Payment) -> Intent:
        """The one intent of this payment, however often it is asked for. Raises ProviderFailed, CardDeclined."""
