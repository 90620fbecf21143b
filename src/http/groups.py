"""The groups endpoints (docs/api.md, Groups, escrows and payouts)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from src.domain.groups import Contribution, Joining, NewEscrow, NewGroup, cancel, contribute
from src.http.decode import from_body
from src.http.endpoint import Access, Answer, Call, Endpoint
from src.http.fields import AmountCents, Currency, EscrowId, GroupId, ItineraryId, OtherUserId
from src.ports.groups import Escrows, Groups
from src.ports.payments import PaymentProvider, Payments

MOST_PEOPLE = 10_000


class GroupInput(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=120, examples=["Gorilla trek 2027"])]
    size_target: Annotated[int, Meta(ge=1, le=MOST_PEOPLE, description="How many people are hoped for")] | None = None
    itinerary_id: ItineraryId | None = None
    user_id: OtherUserId | None = None


class GroupAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str
    group_id: str
    member_id: str


class EscrowInput(msgspec.Struct, frozen=True):
    group_id: GroupId
    target_cents: AmountCents
    deadline: Annotated[
        datetime, Meta(tz=True, description="In the future, with a zone", examples=["2030-12-31T23:00:00Z"])
    ]
    min_members: Annotated[int, Meta(ge=1, le=MOST_PEOPLE, description="Distinct contributors", examples=[3])] = 2
    currency: Currency = "USD"
    itinerary_id: ItineraryId | None = None


class EscrowAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str
    escrow_id: str
    status: str


class JoinInput(msgspec.Struct, frozen=True):
    group_id: GroupId
    user_id: OtherUserId | None = None


class JoinAnswer(msgspec.Struct, frozen=True):
    """`status` is created, or existing for who is in the group already."""

    ok: bool
    request_id: str
    member_id: str
    role: str
    status: str


class ContributionInput(msgspec.Struct, frozen=True):
    escrow_id: EscrowId
    amount_cents: AmountCents
    currency: Currency | None = None
    user_id: OtherUserId | None = None
    member_id: Annotated[UUID, Meta(description="For ops: the member to act for")] | None = None


class ContributionAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The escrow as the contribution leaves it: promised and captured money, and how many people gave."""

    ok: bool
    request_id: str
    contribution_id: str
    payment_id: str
    payment_intent: str
    amount_cents: int
    currency: str
    mode: str
    escrow_status: str
    total_cents: int
    captured_cents: int
    contributors: int
    client_secret: str | msgspec.UnsetType = msgspec.UNSET


class CancelInput(msgspec.Struct, frozen=True):
    escrow_id: EscrowId


class CancelAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str
    escrow_id: str
    status: str
    total_cents: int
    captured_cents: int
    currency: str


def endpoints(
    groups: Groups, escrows: Escrows, payments: Payments, providers: Mapping[str, PaymentProvider]
) -> list[Endpoint]:
    async def create(call: Call) -> Answer:
        """Make a group; its maker, or the user whom ops name, becomes its owner."""
        asked = from_body(GroupInput, call.body)
        made = await groups.create(call.context, NewGroup(**msgspec.structs.asdict(asked)))
        call.note(group=made.group_id, member=made.member_id, status=made.status)
        return Answer(made.body)

    async def create_escrow(call: Call) -> Answer:
        """Open an escrow: what the group collects, from how many people at least, until when."""
        asked = from_body(EscrowInput, call.body)
        call.note(group=asked.group_id, target=asked.target_cents, currency=asked.currency)
        escrow = await escrows.create(call.context, NewEscrow(**msgspec.structs.asdict(asked)))
        call.note(escrow=escrow.escrow_id, status=escrow.status)
        return Answer(escrow.body)

    async def join(call: Call) -> Answer:
        """Join a group as a member; who is in it already gets the same membership."""
        asked = from_body(JoinInput, call.body)
        call.note(group=asked.group_id)
        membership = await groups.join(call.context, Joining(**msgspec.structs.asdict(asked)))
        call.note(member=membership.member_id, status=membership.status)
        return Answer(membership.body)

    async def groups_contribute(call: Call) -> Answer:
        """Promise an amount to an open or met escrow and begin its payment.

        Two equal contributions are two, unless they carry the same Idempotency-Key.
        """
        asked = from_body(ContributionInput, call.body)
        call.note(escrow=asked.escrow_id, amount=asked.amount_cents)
        contribution = Contribution(**msgspec.structs.asdict(asked), idempotency_key=call.context.idempotency_key)
        contributed = await contribute(call.context, contribution, groups, payments, providers)
        call.note(
            contribution=contributed.contribution_id,
            payment=contributed.payment_id,
            status=contributed.escrow_status,
            total=contributed.total_cents,
        )
        return Answer(contributed.body)

    async def cancel_escrow(call: Call) -> Answer:
        """Cancel an escrow: its owner while it is open, ops until it is paid out. What was captured goes back."""
        asked = from_body(CancelInput, call.body)
        call.note(escrow=asked.escrow_id)
        cancelled = await cancel(call.context, asked.escrow_id, escrows)
        call.note(status=cancelled.status)
        return Answer(cancelled.body)

    user = Access.USER
    return [
        Endpoint(
            "groups-create",
            "groups.create",
            create,
            GroupInput,
            GroupAnswer,
            user,
            atomic=True,
            errors=(404,),
            functions=("public.create_group",),
        ),
        Endpoint(
            "groups-create-escrow",
            "groups.escrow.create",
            create_escrow,
            EscrowInput,
            EscrowAnswer,
            user,
            per_minute=6,
            atomic=True,
            errors=(404, 409),
            functions=("public.create_escrow",),
        ),
        Endpoint(
            "groups-join",
            "groups.join",
            join,
            JoinInput,
            JoinAnswer,
            user,
            per_minute=10,
            atomic=True,
            errors=(404, 409),
            functions=("public.join_group",),
        ),
        Endpoint(
            "groups-contribute",
            "groups.contribute",
            groups_contribute,
            ContributionInput,
            ContributionAnswer,
            user,
            per_minute=10,
            errors=(402, 404, 409, 502),
            functions=("public.contribute",),
        ),
        Endpoint(
            "groups-cancel-escrow",
            "groups.escrow.cancel",
            cancel_escrow,
            CancelInput,
            CancelAnswer,
            user,
            errors=(404, 409),
            functions=("public.cancel_escrow",),
        ),
    ]
