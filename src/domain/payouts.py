"""Paying out met escrows: planned and claimed, then the provider, then what the provider said."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from src.domain.answered import Answered
from src.domain.audit import AuditLine
from src.domain.context import Context
from src.domain.errors import DomainError, InputInvalid, ProviderFailed, ProviderUnknown

if TYPE_CHECKING:
    from src.ports.audit import AuditTrail
    from src.ports.groups import Escrows
    from src.ports.payouts import PayoutProvider, Payouts

# The maximum batches of one sweep; the next sweep continues.
MAX_BATCHES = 100
# The timeout of the provider in seconds, shorter than a claim: after that another worker may ask, and after a refusal
# under another key.
ASKING_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class ClaimedPayout:
    """A payout leased to us, in minor units. `claim` is the lease's number, `mode` is mock or live.

    The provider makes it once for its key, however often it is asked; it was first asked under that key at `asked_at`.
    """

    payout_id: UUID
    escrow_id: UUID
    total_cents: int
    currency: str
    mode: str
    claim: int
    provider_key: str
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class PayoutOutcome:
    """What the provider said of a payout. The error is a code."""

    outcome: Literal["succeeded", "failed", "unknown"]
    provider_ref: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Payout:
    """An escrow's payout (succeeded, failed, processing or skipped) with the JSON that its endpoint answers."""

    escrow_id: UUID
    payout_status: str
    total_cents: int
    currency: str
    payout_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Expired:
    """An escrow that expired: `failed` with its payout when it had contributions, else `expired`."""

    escrow_id: UUID
    status: str
    total_cents: int
    payout_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Touched:
    """An escrow that a sweep touched; `error` is a code when its payout did not succeed."""

    escrow_id: UUID
    status: str
    total_cents: int
    payout_id: UUID | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class PayoutsQuery:
    """Payouts made in an inclusive range of UTC days."""

    start_from: date
    start_to: date

    def __post_init__(self) -> None:
        if self.start_from > self.start_to:
            message = "from must not be after to"
            raise InputInvalid(message)


async def pay_now(
    context: Context, escrow_id: UUID, payouts: Payouts, providers: Mapping[str, PayoutProvider]
) -> Answered[Payout]:
    """The escrow's payout, made now unless a worker is making it. Raises NotFound, NotAllowed."""
    payout = await payouts.request(context, escrow_id)
    if payout.value.payout_status == "processing":
        for claimed in await payouts.claim(context.as_service(), escrow_id):
            payout, _ = await _pay(context.as_service(), claimed, payouts, providers)
    return payout


async def pay_due(
    context: Context, payouts: Payouts, providers: Mapping[str, PayoutProvider], trail: AuditTrail
) -> list[Touched]:
    """Sweep: make one batch of payouts that are due."""
    claimed = await payouts.claim(context)
    return list(await asyncio.gather(*(_pay_and_tell(context, one, payouts, providers, trail) for one in claimed)))


async def expire_due(context: Context, escrows: Escrows, trail: AuditTrail) -> list[Touched]:
    """Sweep: expire one batch of escrows whose deadline has passed."""
    expired = [
        Touched(one.escrow_id, one.status, one.total_cents, one.payout_id) for one in await escrows.expire_due(context)
    ]
    for touched in expired:
        _tell(context, touched, trail)
    return expired


async def sweep(
    context: Context,
    escrows: Escrows,
    payouts: Payouts,
    providers: Mapping[str, PayoutProvider],
    trail: AuditTrail,
) -> list[Touched]:
    """Everything that is due: expiries with their refunds, then payouts. Returns each escrow touched."""
    touched: list[Touched] = []
    for _ in range(MAX_BATCHES):
        expired = await expire_due(context, escrows, trail)
        requested = await escrows.request_refunds(context)
        paid = await pay_due(context, payouts, providers, trail)
        touched += [*expired, *paid]
        if not (expired or requested or paid):
            break
    return touched


async def _pay(
    context: Context, claimed: ClaimedPayout, payouts: Payouts, providers: Mapping[str, PayoutProvider]
) -> tuple[Answered[Payout], str | None]:
    """The payout after one try at the provider, and the error's code if there was one."""
    try:
        async with asyncio.timeout(ASKING_SECONDS):
            outcome = PayoutOutcome("succeeded", await providers[claimed.mode].transfer(claimed))
    except TimeoutError:
        outcome = PayoutOutcome("unknown", error="no_answer")
    except ProviderUnknown as unknown:
        outcome = PayoutOutcome("unknown", error=unknown.code)
    except ProviderFailed as failure:
        outcome = PayoutOutcome("failed", error=failure.code)
    return await payouts.finish(context, claimed, outcome), outcome.error


async def _pay_and_tell(
    context: Context,
    claimed: ClaimedPayout,
    payouts: Payouts,
    providers: Mapping[str, PayoutProvider],
    trail: AuditTrail,
) -> Touched:
    try:
        payout, error = await _pay(context, claimed, payouts, providers)
        status = payout.value.payout_status
    except DomainError as failure:
        # The lease expires, and the next claimer uses the same provider key.
        status, error = "processing", type(failure).__name__
    touched = Touched(claimed.escrow_id, status, claimed.total_cents, claimed.payout_id, error)
    _tell(context, touched, trail)
    return touched


def _tell(context: Context, touched: Touched, trail: AuditTrail) -> None:
    facts = {"escrow": touched.escrow_id, "status": touched.status, "total": touched.total_cents}
    if touched.error is not None:
        facts["error"] = touched.error
    trail.record(AuditLine("groups.payout.worker", context.request_id, context.caller.actor, facts))
