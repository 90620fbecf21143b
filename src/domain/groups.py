"""Groups that pay for a trip together: members, escrows and contributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.payments import Payment, ask_for_intent

if TYPE_CHECKING:
    from src.ports.groups import Escrows, Groups
    from src.ports.payments import PaymentProvider, Payments


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group to be made. Ops name its owner in `user_id`, users own theirs."""

    name: str
    size_target: int | None = None
    itinerary_id: UUID | None = None
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Joining:
    """Who joins which group; `user_id` is for ops."""

    group_id: UUID
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NewEscrow:
    """What a group wants to collect, in minor units, from how many at least, until when (with a zone)."""

    group_id: UUID
    target_cents: int
    deadline: datetime
    min_members: int = 2
    currency: str = "USD"
    itinerary_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a member puts into an escrow, in minor units; `user_id` and `member_id` are for ops.

    Two equal contributions are two, unless they carry the same idempotency key.
    """

    escrow_id: UUID
    amount_cents: int
    currency: str | None = None
    user_id: UUID | None = None
    member_id: UUID | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """A membership as groups-create (with its group) and groups-join (created or existing) answer it."""

    member_id: UUID
    group_id: UUID | None = None
    role: str = "owner"
    status: str = "created"


@dataclass(frozen=True, slots=True)
class Escrow:
    """An escrow (open, met, expired, cancelled or paid_out) with the JSON that its endpoint answers."""

    escrow_id: UUID
    status: str


@dataclass(frozen=True, slots=True)
class Contributed:
    """A contribution with its escrow as it then stands. `payment` is there until its money is taken."""

    contribution_id: UUID
    payment_id: UUID
    escrow_status: str
    total_cents: int
    payment: Payment | None = None


async def contribute(
    context: Context,
    contribution: Contribution,
    groups: Groups,
    payments: Payments,
    providers: Mapping[str, PaymentProvider],
) -> Answered[Contributed]:
    """The contribution, counted, with its payment's intent.

    A crash between the steps leaves a payment without an intent, which the worker finishes. Raises NotFound,
    NotAllowed, Conflict, InputInvalid, ProviderFailed.
    """
    contributed = await groups.contribute(context, contribution)
    payment = contributed.value.payment
    if payment is None:
        return contributed
    service, provider = context.as_service(), providers[payment.mode]
    if payment.payment_intent is None:
        intent = await ask_for_intent(service, payment, payments, provider)
    else:
        # The secret is not stored, so the provider is asked for it again.
        intent = await provider.find_intent(payment.payment_intent)
    return await groups.record_intent(service, contributed.value.contribution_id, intent)


async def cancel(context: Context, escrow_id: UUID, escrows: Escrows) -> Answered[Escrow]:
    """Cancel the escrow and ask at once for the refunds that are then due; the worker asks for any that are left.

    Raises NotFound, NotAllowed, Conflict.
    """
    escrow = await escrows.cancel(context, escrow_id)
    await escrows.request_refunds(context.as_service())
    return escrow
