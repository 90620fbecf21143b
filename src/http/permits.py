"""The permits endpoints (docs/api.md, Permits)."""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from src.domain.context import Context
from src.domain.permits import Decision, Permit, PermitRequest
from src.http.decode import from_body
from src.http.endpoint import Access, Answer, Call, Endpoint, Run
from src.ports.permits import Permits

MOST_VISITORS = 10_000

Note = Annotated[str, Meta(max_length=500, description="Free text; line breaks become spaces")]


class PermitInput(msgspec.Struct, frozen=True):
    park: Annotated[
        Literal["Volcanoes", "Nyungwe", "Akagera"],
        Meta(examples=["Volcanoes"], extra={"message": "park must be Volcanoes|Nyungwe|Akagera"}),
    ]
    visit_date: Annotated[date, Meta(description="Today in Rwanda, or later", examples=["2027-12-12"])]
    pax_count: Annotated[
        int,
        Meta(ge=1, le=MOST_VISITORS, examples=[2], extra={"message": "pax_count must be a positive integer"}),
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


def endpoints(permits: Permits) -> list[Endpoint]:
    async def request(call: Call) -> Answer:
        """Ask for permits to enter a park on a day.

        A signed-in user's id goes with the request. A park's daily quota, where ops have set one, is kept.
        """
        asked = from_body(PermitInput, call.body)
        call.note(park=asked.park, visit=asked.visit_date, pax=asked.pax_count)
        permit = await permits.request(call.context, PermitRequest(**msgspec.structs.asdict(asked)))
        call.note(status=permit.status)
        return Answer(permit.body)

    async def approve(call: Call) -> Answer:
        """Approve a pending request; the note joins the request's history."""
        return await _decided(call, permits.approve)

    async def reject(call: Call) -> Answer:
        """Reject a pending request; the note says why."""
        return await _decided(call, permits.reject)

    async def cancel(call: Call) -> Answer:
        """Give up one's own pending request; ops may do it for anyone."""
        return await _decided(call, permits.cancel)

    return [
        Endpoint(
            "permits-request",
            "permits.request",
            request,
            PermitInput,
            PermitAnswer,
            per_minute=5,
            atomic=True,
            errors=(409,),
            functions=("public.create_permit_request",),
        ),
        _decision("permits-ops-approve", "permits.approve", approve, "approve_permit_request", Access.OPS, 3),
        _decision("permits-ops-reject", "permits.reject", reject, "reject_permit_request", Access.OPS, 3),
        _decision("permits-cancel", "permits.cancel", cancel, "cancel_permit_request", Access.USER, 5),
    ]


def _decision(name: str, audit: str, run: Run, function: str, access: Access, per_minute: int) -> Endpoint:
    return Endpoint(
        name,
        audit,
        run,
        DecisionInput,
        PermitAnswer,
        access=access,
        per_minute=per_minute,
        atomic=True,
        errors=(404, 409),
        functions=(f"public.{function}",),
    )


async def _decided(call: Call, decide: Callable[[Context, Decision], Awaitable[Permit]]) -> Answer:
    asked = from_body(DecisionInput, call.body)
    call.note(target=asked.request_id)
    permit = await decide(call.context, Decision(**msgspec.structs.asdict(asked)))
    call.note(status=permit.status)
    return Answer(permit.body)
