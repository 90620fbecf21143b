"""`stripe-webhook` (API.md section 3; runbook "Checkout & Webhook", steps 2 and 3)."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec

from src.domain.errors import InputInvalid
from src.domain.webhooks import PaymentEvent
from src.http.decode import from_body
from src.http.endpoint import Answer, Call, Endpoint
from src.ports.switches import Switches
from src.ports.webhooks import Webhooks


class EventObject(msgspec.Struct, frozen=True):
    id: str
    amount: int | None = None
    currency: str | None = None
    metadata: dict[str, str] = {}


class EventData(msgspec.Struct, frozen=True):
    """Stripe's `object`, or the runbook's two ids."""

    object: EventObject | None = None
    payment_id: UUID | None = None
    payment_intent: str | None = None


class EventInput(msgspec.Struct, frozen=True):
    type: str
    data: EventData
    id: str | None = None
    created: int | None = None


class WebhookAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str
    result: str


def endpoints(webhooks: Webhooks, switches: Switches) -> list[Endpoint]:
    async def receive(call: Call) -> Answer:
        """Take in a payment event; repeated or late ones change nothing.

        Mock mode takes Stripe's envelope or the runbook's `{"type","data":{"payment_id","payment_intent"}}`.
        """
        if await switches.value("STRIPE_MOCK_MODE") != "1":
            message = "Invalid signature"
            raise InputInvalid(message)
        event = _event(from_body(EventInput, call.body), call.body)
        call.note(type=event.type)
        applied = await webhooks.apply(call.context.as_service(), event)
        call.note(
            result=applied.result,
            payment=applied.payment_id,
            intent=event.intent_id,
            amount=applied.amount_cents,
            currency=applied.currency,
            mode="mock",
        )
        return Answer(applied.body)

    return [Endpoint("stripe-webhook", "stripe.webhook", receive, EventInput, WebhookAnswer, per_minute=20 * 60)]


def _event(given: EventInput, body: bytes) -> PaymentEvent:
    data = given.data
    text = body.decode()
    if data.object is None:
        if data.payment_id is None or data.payment_intent is None:
            message = "data must hold payment_id and payment_intent, or object"
            raise InputInvalid(message)
        identity = given.id or f"mock:{given.type}:{data.payment_intent}"
        return PaymentEvent(identity, given.type, text, data.payment_id, data.payment_intent)
    if given.id is None:
        message = "id must be text"
        raise InputInvalid(message)
    found = data.object
    return PaymentEvent(
        given.id,
        given.type,
        text,
        payment_id=_uuid(found.metadata.get("payment_id")),
        intent_id=found.id,
        amount_cents=found.amount,
        currency=found.currency,
        occurred_at=datetime.fromtimestamp(given.created, UTC) if given.created is not None else None,
    )


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
