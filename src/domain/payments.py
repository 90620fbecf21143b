"""Taking a payment: the row first, then the provider, then what the provider said (API.md section 3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from src.domain.context import Context

if TYPE_CHECKING:
    from src.ports.payments import PaymentProvider, Payments


@dataclass(frozen=True, slots=True)
class Checkout:
    """What a client wants to pay: minor units (RWF has none, so whole francs) of an upper-case ISO 4217 code."""

    itinerary_id: UUID
    amount_cents: int
    currency: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as its endpoint answers; `body` is the finished JSON."""

    payment_id: UUID
    amount_cents: int
    currency: str
    status: str
    mode: str
    payment_intent: str | None = None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Intent:
    """A provider's intent; the secret lets the client confirm it and is never stored."""

    intent_id: str
    client_secret: str | None = None


async def start_checkout(
    context: Context, checkout: Checkout, payments: "Payments", providers: "Mapping[str, PaymentProvider]"
) -> Payment:
    """The payment with its intent. The same key again gives the same payment and intent.

    A crash between the steps leaves a payment without an intent; asking again, here or by the worker, finishes it
    under the same provider key. Raises NotFound, Conflict, ProviderFailed.
    """
    payment = await payments.start(context, checkout)
    if payment.payment_intent is not None:
        return payment
    intent = await providers[payment.mode].create_intent(payment)
    return await payments.record_intent(context.as_service(), payment.payment_id, intent)
