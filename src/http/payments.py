"""`bff-checkout` (docs/api.md, Payments and refunds)."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import Meta

from src.domain.payments import Checkout, start_checkout
from src.http.call import Answer, Call
from src.http.endpoint import endpoint
from src.http.fields import AmountCents, Currency, ItineraryId
from src.ports.payments import PaymentProvider, Payments


class CheckoutInput(msgspec.Struct, frozen=True):
    itinerary_id: ItineraryId
    amount_cents: AmountCents
    currency: Currency
    idempotency_key: (
        Annotated[
            str, Meta(min_length=1, max_length=64, description="Default: derived from itinerary, amount and currency")
        ]
        | None
    ) = None


class CheckoutAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    ok: bool
    payment_id: str
    payment_intent: str
    payment_intent_id: str
    idempotency: str
    request_id: str
    status: str
    provider_status: str
    amount_cents: int
    currency: str
    mode: str
    client_secret: str | msgspec.UnsetType = msgspec.UNSET


class PaymentsController(Controller):
    @endpoint(
        "bff-checkout",
        audit="checkout.intent",
        per_minute=4,
        errors=(402, 404, 409, 502),
        functions=("public.start_checkout",),
    )
    async def checkout(
        self,
        call: Call,
        data: CheckoutInput,
        payments: NamedDependency[Payments],
        stripe: NamedDependency[Mapping[str, PaymentProvider]],
    ) -> Answer[CheckoutAnswer]:
        """Start a payment for an itinerary.

        The same idempotency key gives the same payment and intent; with other terms it is a conflict.
        """
        call.note(amount=data.amount_cents, currency=data.currency)
        answered = await start_checkout(call.context, Checkout(**msgspec.structs.asdict(data)), payments, stripe)
        payment = answered.value
        call.facts = {
            "payment": payment.payment_id,
            "intent": payment.payment_intent,
            **call.facts,
            "mode": payment.mode,
            "status": payment.status,
        }
        return Answer(answered.body)
