"""Giving money back: set aside first, then the provider, then what the provider said."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.errors import ProviderFailed, ProviderUnknown

if TYPE_CHECKING:
    from src.ports.refunds import RefundProvider, Refunds


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """What is to be refunded of a payment, in minor units; None is all that is left.

    The same key of the same caller is one refund, so that a request that died half-way goes on with its refund and
    makes no other.
    """

    payment_id: UUID
    amount_cents: int | None = None
    reason: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class ItineraryRefundRequest:
    """What is to be refunded of an itinerary's newest payment that has something left."""

    itinerary_id: UUID
    amount_cents: int
    reason: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund as its endpoint answers (`status`: pending, refunded or failed)."""

    refund_id: UUID
    payment_id: UUID
    amount_cents: int
    refunded_cents: int
    currency: str
    status: str
    mode: str
    payment_intent: str
    requested_at: datetime
    provider_refund_id: str | None = None
    provider_ref: str | None = None
    reason: str | None = None

    @property
    def provider_key(self) -> str:
        """The key under which the provider makes this refund once, however often it is asked."""
        return f"refund:{self.refund_id}"


@dataclass(frozen=True, slots=True)
class RefundOutcome:
    """What the provider said. Pending with an error: we do not know what it did. The error is a code."""

    status: Literal["pending", "succeeded", "failed"]
    provider_refund_id: str | None = None
    error: str | None = None


async def refund_payment(
    context: Context, asked: RefundRequest, refunds: Refunds, providers: Mapping[str, RefundProvider]
) -> Answered[Refund]:
    """Raises NotFound, Conflict, InputInvalid (more than is left), ProviderFailed.

    A refund that comes back pending is settled by the worker or by the provider's event.
    """
    return await _settled(context, await refunds.request(context, asked), refunds, providers)


async def refund_itinerary(
    context: Context, asked: ItineraryRefundRequest, refunds: Refunds, providers: Mapping[str, RefundProvider]
) -> Answered[Refund]:
    """As refund_payment, for ops, who know the itinerary."""
    return await _settled(context, await refunds.request_for_itinerary(context, asked), refunds, providers)


async def _settled(
    context: Context, asked: Answered[Refund], refunds: Refunds, providers: Mapping[str, RefundProvider]
) -> Answered[Refund]:
    refund = asked.value
    if refund.status != "pending":
        return asked
    return await settle(context.as_service(), refund, refunds, providers[refund.mode])


async def settle(context: Context, refund: Refund, refunds: Refunds, provider: RefundProvider) -> Answered[Refund]:
    """Make a pending refund at the provider, which does it once for its key, and record what it said."""
    try:
        outcome = await provider.refund(refund)
    except ProviderUnknown as unknown:
        return await refunds.record(context, refund.refund_id, RefundOutcome("pending", error=unknown.code))
    except ProviderFailed as failure:
        if refund.provider_refund_id is not None:
            # The refund exists there, so it stays pending when its status is unknown.
            return await refunds.record(context, refund.refund_id, RefundOutcome("pending", error=failure.code))
        await refunds.record(context, refund.refund_id, RefundOutcome("failed", error=failure.code))
        raise
    settled = await refunds.record(context, refund.refund_id, outcome)
    if settled.value.status == "failed":
        message = "The payment provider could not make the refund"
        raise ProviderFailed(message, outcome.error or "failed_at_provider")
    return settled


async def settle_due(context: Context, refunds: Refunds, providers: Mapping[str, RefundProvider]) -> int:
    """Settle queued refunds and those whose outcome is not known; returns how many were looked at."""
    due = await refunds.claim_due(context)
    for refund in due:
        # The failure is on the refund and in the ops queue.
        with suppress(ProviderFailed):
            await settle(context, refund, refunds, providers[refund.mode])
    return len(due)
