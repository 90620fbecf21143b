"""The groups endpoints (docs/api.md, Groups, escrows and payouts)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import Meta

from src.domain.groups import Contribution, Joining, NewEscrow, NewGroup, cancel, contribute
from src.http.call import Access, Answer, Call
from src.http.endpoint import endpoint
from src.http.fields import AmountCents, Currency, EscrowId, GroupId, ItineraryId, OtherUserId
from src.ports.groups import Escrows, Groups
from src.ports.payments import PaymentProvider, Payments

MAX_PEOPLE = 10_000


class GroupInput(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=120, examples=["Gorilla trek 2027"])]
    size_target: Annotated[int, Meta(ge=1, le=MAX_PEOPLE, description="How many people are hoped for")] | None = None
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
    min_members: Annotated[int, Meta(ge=1, le=MAX_PEOPLE, description="Distinct contributors", examples=[3])] = 2
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


class GroupsController(Controller):
    @endpoint(
        "groups-create",
        audit="groups.create",
        access=Access.USER,
        atomic=True,
        errors=(404,),
        functions=("public.create_group",),
    )
    async def create(self, call: Call, data: GroupInput, groups: NamedDependency[Groups]) -> Answer[GroupAnswer]:
        """Make a group; its maker, or the user whom ops name, becomes its owner."""
        made = await groups.create(call.context, NewGroup(**msgspec.structs.asdict(data)))
        call.note(group=made.value.group_id, member=made.value.member_id, status=made.value.status)
        return Answer(made.body)

    @endpoint(
        "groups-create-escrow",
        audit="groups.escrow.create",
        access=Access.USER,
        per_minute=6,
        atomic=True,
        errors=(404, 409),
        functions=("public.create_escrow",),
    )
    async def create_escrow(
        self, call: Call, data: EscrowInput, escrows: NamedDependency[Escrows]
    ) -> Answer[EscrowAnswer]:
        """Open an escrow: what the group collects, from how many people at least, until when."""
        call.note(group=data.group_id, target=data.target_cents, currency=data.currency)
        escrow = await escrows.create(call.context, NewEscrow(**msgspec.structs.asdict(data)))
        call.note(escrow=escrow.value.escrow_id, status=escrow.value.status)
        return Answer(escrow.body)

    @endpoint(
        "groups-join",
        audit="groups.join",
        access=Access.USER,
        per_minute=10,
        atomic=True,
        errors=(404, 409),
        functions=("public.join_group",),
    )
    async def join(self, call: Call, data: JoinInput, groups: NamedDependency[Groups]) -> Answer[JoinAnswer]:
        """Join a group as a member; who is in it already gets the same membership."""
        call.note(group=data.group_id)
        membership = await groups.join(call.context, Joining(**msgspec.structs.asdict(data)))
        call.note(member=membership.value.member_id, status=membership.value.status)
        return Answer(membership.body)

    @endpoint(
        "groups-contribute",
        audit="groups.contribute",
        access=Access.USER,
        per_minute=10,
        errors=(402, 404, 409, 502),
        functions=("public.contribute",),
    )
    async def contribute(
        self,
        call: Call,
        data: ContributionInput,
        groups: NamedDependency[Groups],
        payments: NamedDependency[Payments],
        stripe: NamedDependency[Mapping[str, PaymentProvider]],
    ) -> Answer[ContributionAnswer]:
        """Promise an amount to an open or met escrow and begin its payment.

        Two equal contributions are two, unless they carry the same Idempotency-Key.
        """
        call.note(escrow=data.escrow_id, amount=data.amount_cents)
        contribution = Contribution(**msgspec.structs.asdict(data), idempotency_key=call.context.idempotency_key)
        contributed = await contribute(call.context, contribution, groups, payments, stripe)
        call.note(
            contribution=contributed.value.contribution_id,
            payment=contributed.value.payment_id,
            status=contributed.value.escrow_status,
            total=contributed.value.total_cents,
        )
        return Answer(contributed.body)

    @endpoint(
        "groups-cancel-escrow",
        audit="groups.escrow.cancel",
        access=Access.USER,
        errors=(404, 409),
        functions=("public.cancel_escrow",),
    )
    async def cancel_escrow(
        self, call: Call, data: CancelInput, escrows: NamedDependency[Escrows]
    ) -> Answer[CancelAnswer]:
        """Cancel an escrow: its owner while it is open, ops until it is paid out. What was captured goes back."""
        call.note(escrow=data.escrow_id)
        cancelled = await cancel(call.context, data.escrow_id, escrows)
        call.note(status=cancelled.value.status)
        return Answer(cancelled.body)
