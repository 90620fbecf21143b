"""What payment providers tell us (API.md section 3)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """One event of a provider. `body` is its JSON as received; amounts are minor units, times UTC."""

    event_id: str
    type: str
    body: str
    payment_id: UUID | None = None
    intent_id: str | None = None
    amount_cents: int | None = None
    currency: str | None = None
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of an event: applied, duplicate, ignored or deferred; `body` is the finished JSON."""

    result: str
    payment_id: UUID | None = None
    amount_cents: int | None = None
    currency: str | None = None
    body: bytes = b""
