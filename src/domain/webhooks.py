"""What payment providers tell us (docs/api.md, Payments and refunds)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """One event of a provider. `body` is its JSON without what names people; amounts are minor units, times UTC.

    `signed`: a signature proves where it comes from; what has none may only move mock payments. `payment_id` and
    `refund_id` are ours, from the metadata of the object that it speaks of. `captured_cents` is what was taken of the
    amount.
    """

    event_id: str
    type: str
    body: str
    signed: bool
    occurred_at: datetime | None = None
    object_id: str | None = None
    payment_id: UUID | None = None
    intent_id: str | None = None
    refund_id: UUID | None = None
    amount_cents: int | None = None
    currency: str | None = None
    object_status: str | None = None
    captured_cents: int | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of an event: applied, duplicate, ignored or deferred."""

    result: str
    payment_id: UUID | None = None
    amount_cents: int | None = None
    currency: str | None = None
