"""The permits endpoints (docs/api.md, Permits)."""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import Meta

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.permits import Decision, Permit, PermitRequest
from src.http.call import Access, Answer, Call
from src.http.endpoint import endpoint
from src.ports.permits import Permits

MAX_VISITORS = 10_000

Note = Annotated[str, Meta(max_length=500, description="Free text; line breaks become spaces")]


class PermitInput(msgspec.Struct, frozen=True):
    park: Annotated[
        Literal["Volcanoes", "Nyungwe", "Akagera"],
        Meta(examples=["Volcanoes"], extra={"message": "park must be Volcanoes|Nyungwe|Akagera"}),
    ]
    visit_date: Annotated[date, Meta(description="Today in Rwanda, or later", examples=["2027-12-12"])]
    pax_count: Annotated[
        int,
        Meta(ge=1, le=MAX_VISITORS, examples=[2], extra={"message": "pax_count must be a positive integer"}),
    ]
    note: Note | None = None


class DecisionInput(msgspec.Struct, frozen=True):
    request_id: Annotated[UUID, Meta(description="The permit request's id")]
    note: Note | None = None


class PermitAnswer(msgspec.Struct, frozen=True):
    """`request_id` is the permit request's id."""

    ok: bool
    request_id: str
    status: str


class PermitsController(Controller):
    @endpoint(
        "permits-request",
        audit="permits.request",
        per_minute=5,
        atomic=True,
        errors=(409,),
        functions=("public.create_permit_request",),
    )
    async def request(self, call: Call, data: PermitInput, permits: NamedDependency[Permits]) -> Answer[PermitAnswer]:
        """Ask for permits to enter a park on a day.

        A signed-in user's id goes with the request. A park's daily quota, where ops have set one, is kept.
        """
        call.note(park=data.park, visit=data.visit_date, pax=data.pax_count)
        permit = await permits.request(call.context, PermitRequest(**msgspec.structs.asdict(data)))
        call.note(status=permit.value.status)
        return Answer(permit.body)

    @endpoint(
        "permits-ops-approve",
        audit="permits.approve",
        access=Access.OPS,
        per_minute=3,
        atomic=True,
        errors=(404, 409),
        functions=("public.approve_permit_request",),
    )
    async def approve(self, call: Call, data: DecisionInput, permits: NamedDependency[Permits]) -> Answer[PermitAnswer]:
        """Approve a pending request; the note joins the request's history."""
        return await _decided(call, data, permits.approve)

    @endpoint(
        "permits-ops-reject",
        audit="permits.reject",
        access=Access.OPS,
        per_minute=3,
        atomic=True,
        errors=(404, 409),
        functions=("public.reject_permit_request",),
    )
    async def reject(self, call: Call, data: DecisionInput, permits: NamedDependency[Permits]) -> Answer[PermitAnswer]:
        """Reject a pending request; the note says why."""
        return await _decided(call, data, permits.reject)

    @endpoint(
        "permits-cancel",
        audit="permits.cancel",
        access=Access.USER,
        per_minute=5,
        atomic=True,
        errors=(404, 409),
        functions=("public.cancel_permit_request",),
    )
    async def cancel(self, call: Call, data: DecisionInput, permits: NamedDependency[Permits]) -> Answer[PermitAnswer]:
        """Give up one's own pending request; ops may do it for anyone."""
        return await _decided(call, data, permits.cancel)


async def _decided(
    call: Call, given: DecisionInput, decide: Callable[[Context, Decision], Awaitable[Answered[Permit]]]
) -> Answer[PermitAnswer]:
    call.note(target=given.request_id)
    permit = await decide(call.context, Decision(**msgspec.structs.asdict(given)))
    call.note(status=permit.value.status)
    return Answer(permit.body)
