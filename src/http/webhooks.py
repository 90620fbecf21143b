"""`stripe-webhook` (docs/api.md, Payments and refunds)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import Meta

from src.domain.errors import InputInvalid
from src.domain.webhooks import PaymentEvent
from src.http.call import Access, Answer, Call
from src.http.decode import from_body
from src.http.endpoint import endpoint
from src.ports.switches import Switches
from src.ports.webhooks import Signatures, Webhooks

INVALID = "Invalid signature"
MAX_INTEGER = 2**63 - 1
LAST_SECOND = 253_402_300_799
# The fields that are stored of an event's object: none holds personal data.
KEPT = (
    "id",
    "object",
    "status",
    "amount",
    "amount_received",
    "amount_refunded",
    "currency",
    "payment_intent",
    "charge",
    "failure_reason",
    "reason",
)
KEPT_METADATA = ("payment_id", "refund_id")


class StripeEventInput(msgspec.Struct, frozen=True):
    """`data` holds Stripe's `object`, or in mock mode the runbook's `payment_id` and `payment_intent`."""

    type: Annotated[str, Meta(min_length=1, max_length=255, examples=["payment_intent.succeeded"])]
    data: dict[str, Annotated[object, Meta(extra_json_schema={"description": "An object, or one of the two ids"})]]
    id: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    created: Annotated[int, Meta(ge=0, le=LAST_SECOND)] | None = None


class WebhookAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    ok: bool
    request_id: str
    result: str
    payment_id: str | msgspec.UnsetType = msgspec.UNSET
    amount_cents: Annotated[int, Meta(description="As the event says")] | msgspec.UnsetType = msgspec.UNSET
    currency: str | msgspec.UnsetType = msgspec.UNSET


async def _open_if_signed(signatures: Signatures) -> Access:
    return Access.OPEN if signatures.required else Access.ANY


class WebhooksController(Controller):
    @endpoint(
        "stripe-webhook",
        audit="stripe.webhook",
        access=_open_if_signed,
        per_minute=20 * 60,
        reads=StripeEventInput,
        functions=("public.apply_payment_event",),
    )
    async def take_payment_event(
        self,
        call: Call,
        webhooks: NamedDependency[Webhooks],
        signatures: NamedDependency[Signatures],
        switches: NamedDependency[Switches],
    ) -> Answer[WebhookAnswer]:
        """Take in a payment event; repeated or late ones change nothing.

        With a webhook secret the `Stripe-Signature` over the raw body decides and no apikey is needed. Mock mode
        without one takes Stripe's envelope or the runbook's `{"type","data":{"payment_id","payment_intent"}}`.
        """
        if signatures.required:
            if not signatures.valid(call.body, call.headers.get(b"stripe-signature", b"").decode("latin-1")):
                raise InputInvalid(INVALID)
        elif await switches.value("STRIPE_MOCK_MODE") != "1":
            raise InputInvalid(INVALID)
        event = _event(from_body(StripeEventInput, call.body), signed=signatures.required)
        call.note(type=event.type)
        applied = await webhooks.apply(call.context.as_service(), event)
        call.note(
            result=applied.value.result,
            payment=applied.value.payment_id,
            intent=event.intent_id,
            amount=applied.value.amount_cents,
            currency=applied.value.currency,
            mode="live" if event.signed else "mock",
        )
        return Answer(applied.body)


def _event(given: StripeEventInput, *, signed: bool) -> PaymentEvent:
    found = given.data.get("object")
    if isinstance(found, dict):
        if given.id is None:
            message = "id must be text"
            raise InputInvalid(message)
        return _stripe_event(given, given.id, found, signed=signed)
    if signed:
        message = "data.object must be an object"
        raise InputInvalid(message)
    payment_id, intent = _uuid(given.data.get("payment_id")), _id(given.data.get("payment_intent"))
    if payment_id is None or intent is None:
        message = "data must hold payment_id and payment_intent, or object"
        raise InputInvalid(message)
    identity = given.id or f"mock:{given.type}:{intent}"[:255]
    body = {"type": given.type, "data": {"payment_id": payment_id, "payment_intent": intent}}
    return PaymentEvent(
        identity,
        given.type,
        _text(body),
        signed=False,
        occurred_at=_time(given),
        payment_id=payment_id,
        intent_id=intent,
    )


def _stripe_event(given: StripeEventInput, identity: str, found: Mapping[str, object], *, signed: bool) -> PaymentEvent:
    metadata = found.get("metadata")
    ours = {name: metadata[name] for name in KEPT_METADATA if name in metadata} if isinstance(metadata, dict) else {}
    kept: dict[str, object] = {name: found[name] for name in KEPT if isinstance(found.get(name), str | int)}
    about_intent = given.type.startswith("payment_intent.")
    amount = found.get("amount_refunded" if given.type == "charge.refunded" else "amount")
    body = {
        "id": identity,
        "type": given.type,
        "created": given.created,
        "data": {"object": {**kept, "metadata": ours}},
    }
    return PaymentEvent(
        identity,
        given.type,
        _text(body),
        signed=signed,
        occurred_at=_time(given),
        object_id=_id(found.get("id")),
        payment_id=_uuid(ours.get("payment_id")),
        intent_id=_id(found.get("id" if about_intent else "payment_intent")),
        refund_id=_uuid(ours.get("refund_id")),
        amount_cents=_cents(amount),
        currency=_id(found.get("currency")),
        object_status=_id(found.get("status")),
        captured_cents=_cents(found.get("amount_received")) if given.type == "payment_intent.succeeded" else None,
    )


def _time(given: StripeEventInput) -> datetime | None:
    return None if given.created is None else datetime.fromtimestamp(given.created, UTC)


def _cents(value: object) -> int | None:
    return value if type(value) is int and abs(value) <= MAX_INTEGER else None


def _text(body: Mapping[str, object]) -> str:
    return msgspec.json.encode(body).decode()


def _id(value: object) -> str | None:
    """An id, or the id of an object that is sent in its place."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, str) and 0 < len(found) <= 255 else None  # noqa: PLR2004 - the length of Stripe's ids


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
