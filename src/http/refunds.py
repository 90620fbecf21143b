"""`payments-refund` and `ops-refund` (docs/api.md, Payments and refunds)."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from src.domain.errors import ProviderFailed
from src.domain.refunds import ItineraryRefundRequest, Refund, RefundRequest, refund_itinerary, refund_payment
from src.http.decode import from_body
from src.http.endpoint import Access, Answer, Call, Endpoint, ops_unless
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


def endpoints(refunds: Refunds, providers: Mapping[str, RefundProvider], switches: Switches) -> list[Endpoint]:
    async def payments_refund(call: Call) -> Answer:
        """Refund a captured payment, all that is left without an amount.

        Several partial refunds are possible up to the captured amount. 202 means that the provider's outcome is not
        known yet and is settled later, once.
        """
        asked = from_body(PaymentRefundInput, call.body)
        call.note(payment=asked.payment_id, amount=asked.amount_cents)
        request = RefundRequest(**msgspec.structs.asdict(asked), idempotency_key=call.context.idempotency_key)
        try:
            return _answer(call, await refund_payment(call.context, request, refunds, providers))
        except ProviderFailed as failure:
            call.note(error=failure.code)
            raise

    async def ops_refund(call: Call) -> Answer:
        """Refund an itinerary's newest payment that has something left.

        In mock mode (`OPS_REFUND_MODE=mock`) any key may ask and nothing happens but validation and the AUDIT line.
        """
        asked = from_body(OpsRefundInput, call.body)
        call.note(itinerary=asked.itinerary_id, amount=asked.amount_cents)
        if await switches.value("OPS_REFUND_MODE") == "mock":
            call.context = call.context._replace(request_id=f"mock-{call.context.request_id}")
            call.note(mode="mock")
            return Answer(msgspec.json.encode(MockAnswer(ok=True, request_id=call.context.request_id)))
        request = ItineraryRefundRequest(**msgspec.structs.asdict(asked), idempotency_key=call.context.idempotency_key)
        try:
            return _answer(call, await refund_itinerary(call.context, request, refunds, providers))
        except ProviderFailed as failure:
            call.note(error=failure.code)
            raise

    return [
        Endpoint(
            "payments-refund",
            "payments.refund",
            payments_refund,
            PaymentRefundInput,
            RefundAnswer,
            access=Access.SERVICE,
            per_minute=3,
            statuses=(200, 202),
            errors=(404, 409, 502),
            functions=("public.request_refund",),
        ),
        Endpoint(
            "ops-refund",
            "ops.refund",
            ops_refund,
            OpsRefundInput,
            OpsRefundAnswer,
            access=ops_unless(switches, "OPS_REFUND_MODE", "mock"),
            per_minute=3,
            statuses=(200, 202),
            errors=(404, 409, 502),
            functions=("public.request_itinerary_refund",),
        ),
    ]


def _answer(call: Call, refund: Refund) -> Answer:
    call.facts = {
        "payment": refund.payment_id,
        "refund": refund.refund_id,
        **call.facts,
        "amount": refund.amount_cents,
        "currency": refund.currency,
        "mode": refund.mode,
        "status": refund.status,
    }
    return Answer(refund.body, 202 if refund.status == "pending" else 200)
