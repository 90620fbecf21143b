"""`payments-refund` and `ops-refund` (docs/api.md, Payments and refunds)."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import Meta

from src.domain.answered import Answered
from src.domain.errors import ProviderFailed
from src.domain.refunds import ItineraryRefundRequest, Refund, RefundRequest, refund_itinerary, refund_payment
from src.http.call import Access, Answer, Call, ops_unless
from src.http.endpoint import endpoint
from src.http.fields import AmountCents, ItineraryId
from src.ports.refunds import RefundProvider, Refunds
from src.ports.switches import Switches

Reason = Annotated[str, Meta(min_length=1, max_length=200, description="Free text", examples=["guest_cancelled"])]


class PaymentRefundInput(msgspec.Struct, frozen=True):
    payment_id: Annotated[UUID, Meta(description="A captured payment")]
    amount_cents: AmountCents | None = None
    reason: Reason | None = None


class OpsRefundInput(msgspec.Struct, frozen=True):
    itinerary_id: ItineraryId
    amount_cents: AmountCents
    reason: Reason


class RefundAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`status` is refunded, or pending (202) while the provider has not told the outcome."""

    ok: bool
    request_id: str
    payment_id: str
    refund_id: str
    amount_cents: int
    refunded_cents: int
    currency: str
    status: str
    mode: str
    requested_at: str
    payment_intent: str | msgspec.UnsetType = msgspec.UNSET
    provider_ref: str | msgspec.UnsetType = msgspec.UNSET
    provider_refund_id: str | msgspec.UnsetType = msgspec.UNSET
    reason: str | msgspec.UnsetType = msgspec.UNSET


class OpsRefundAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """In mock mode only `ok` and a `request_id` that begins with mock-; else as payments-refund."""

    ok: bool
    request_id: str
    payment_id: str | msgspec.UnsetType = msgspec.UNSET
    refund_id: str | msgspec.UnsetType = msgspec.UNSET
    amount_cents: int | msgspec.UnsetType = msgspec.UNSET
    refunded_cents: int | msgspec.UnsetType = msgspec.UNSET
    currency: str | msgspec.UnsetType = msgspec.UNSET
    status: str | msgspec.UnsetType = msgspec.UNSET
    mode: str | msgspec.UnsetType = msgspec.UNSET
    requested_at: str | msgspec.UnsetType = msgspec.UNSET
    payment_intent: str | msgspec.UnsetType = msgspec.UNSET
    provider_ref: str | msgspec.UnsetType = msgspec.UNSET
    provider_refund_id: str | msgspec.UnsetType = msgspec.UNSET
    reason: str | msgspec.UnsetType = msgspec.UNSET


class MockAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str


class RefundsController(Controller):
    @endpoint(
        "payments-refund",
        audit="payments.refund",
        access=Access.SERVICE,
        per_minute=3,
        statuses=(200, 202),
        errors=(404, 409, 502),
        functions=("public.request_refund",),
    )
    async def payments_refund(
        self,
        call: Call,
        data: PaymentRefundInput,
        refunds: NamedDependency[Refunds],
        stripe: NamedDependency[Mapping[str, RefundProvider]],
    ) -> Answer[RefundAnswer]:
        """Refund a captured payment, all that is left without an amount.

        Several partial refunds are possible up to the captured amount. 202 means that the provider's outcome is not
        known yet and is settled later, once.
        """
        call.note(payment=data.payment_id, amount=data.amount_cents)
        request = RefundRequest(**msgspec.structs.asdict(data), idempotency_key=call.context.idempotency_key)
        try:
            return _answer(call, await refund_payment(call.context, request, refunds, stripe))
        except ProviderFailed as failure:
            call.note(error=failure.code)
            raise

    @endpoint(
        "ops-refund",
        audit="ops.refund",
        access=ops_unless("OPS_REFUND_MODE", "mock"),
        per_minute=3,
        statuses=(200, 202),
        errors=(404, 409, 502),
        functions=("public.request_itinerary_refund",),
    )
    async def ops_refund(
        self,
        call: Call,
        data: OpsRefundInput,
        refunds: NamedDependency[Refunds],
        stripe: NamedDependency[Mapping[str, RefundProvider]],
        switches: NamedDependency[Switches],
    ) -> Answer[OpsRefundAnswer]:
        """Refund an itinerary's newest payment that has something left.

        In mock mode (`OPS_REFUND_MODE=mock`) any key may ask and nothing happens but validation and the AUDIT line.
        """
        call.note(itinerary=data.itinerary_id, amount=data.amount_cents)
        if await switches.value("OPS_REFUND_MODE") == "mock":
            call.context = call.context._replace(request_id=f"mock-{call.context.request_id}")
            call.note(mode="mock")
            return Answer(msgspec.json.encode(MockAnswer(ok=True, request_id=call.context.request_id)))
        request = ItineraryRefundRequest(**msgspec.structs.asdict(data), idempotency_key=call.context.idempotency_key)
        try:
            return _answer(call, await refund_itinerary(call.context, request, refunds, stripe))
        except ProviderFailed as failure:
            call.note(error=failure.code)
            raise


def _answer(call: Call, answered: Answered[Refund]) -> Answer[Any]:
    refund = answered.value
    call.facts = {
        "payment": refund.payment_id,
        "refund": refund.refund_id,
        **call.facts,
        "amount": refund.amount_cents,
        "currency": refund.currency,
        "mode": refund.mode,
        "status": refund.status,
    }
    return Answer(answered.body, 202 if refund.status == "pending" else 200)
