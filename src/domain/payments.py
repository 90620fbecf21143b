"""Taking a payment: the row first, then the provider, then what the provider said."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.errors import ProviderFailed, ProviderUnknown

if TYPE_CHECKING:
    from src.ports.payments import PaymentProvider, Payments

SETTLED = ("succeeded", "refunded", "voided")


@dataclass(frozen=True, slots=True)
class Checkout:
    """What a client wants to pay: minor units (RWF has none, so whole francs) of an upper-case ISO 4217 code."""

    itinerary_id: UUID
    amount_cents: int
    currency: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as its endpoint answers.

    `mode` is mock or live, for good. `provider_key` is what its intent is to be asked for under, while there is none.
    """

    payment_id: UUID
    amount_cents: int
    currency: str
    status: str
    mode: str
    payment_intent: str | None = None
    provider_key: str | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """A provider's intent; the secret lets the client confirm it and is never stored."""

    intent_id: str
    client_secret: str | None = None
    provider_status: str | None = None


async def start_checkout(
    context: Context, checkout: Checkout, payments: Payments, providers: Mapping[str, PaymentProvider]
) -> Answered[Payment]:
    """The payment with its intent. The same key again gives the same payment and intent.

    A crash between the steps leaves a payment without an intent; asking again, here or by the worker, finishes it
    under the same provider key. Raises NotFound, Conflict, ProviderFailed.
    """
    started = await payments.start(context, checkout)
    payment = started.value
    provider = providers[payment.mode]
    if payment.payment_intent is None:
        return await make_intent(context.as_service(), payment, payments, provider)
    if payment.status in SETTLED:
        return started
    # The secret is not stored, so the provider is asked for it again.
    intent = await provider.find_intent(payment.payment_intent)
    return await payments.record_intent(context.as_service(), payment.payment_id, intent)


async def make_intent(
    context: Context, payment: Payment, payments: Payments, provider: PaymentProvider
) -> Answered[Payment]:
    """Ask the provider for the payment's one intent and record its answer, also when it is a failure."""
    intent = await ask_for_intent(context, payment, payments, provider)
    return await payments.record_intent(context, payment.payment_id, intent)


async def ask_for_intent(context: Context, payment: Payment, payments: Payments, provider: PaymentProvider) -> Intent:
    """The provider's intent for the payment; a failure is recorded before it is raised."""
    try:
        return await provider.create_intent(payment)
    except ProviderFailed as failure:
        definite = not isinstance(failure, ProviderUnknown)
        await payments.record_intent_failure(context, payment.payment_id, failure.code, definite=definite)
        raise


async def finish_due(context: Context, payments: Payments, providers: Mapping[str, PaymentProvider]) -> int:
    """Make the intents that a crash or a lost answer left out; returns how many payments were looked at."""
    due = await payments.claim_due(context)
    for payment in due:
        # The failure is on the payment and in the ops queue.
        with suppress(ProviderFailed):
            await make_intent(context, payment, payments, providers[payment.mode])
    return len(due)
