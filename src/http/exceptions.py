"""`ops-exceptions` and `ops-exceptions-retry` (docs/api.md, Bookings and exceptions)."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import Meta

from src.domain.exceptions import ExceptionsQuery, Retry
from src.http.call import Access, Answer, Call, ops_unless
from src.http.endpoint import GET, endpoint
from src.http.fields import PageNumber, PageSize
from src.ports.exceptions import OpsQueue
from src.ports.switches import Switches


class ExceptionsInput(msgspec.Struct, frozen=True):
    status: (
        Annotated[
            Literal["open", "retrying", "resolved"],
            Meta(
                description="Any letter case",
                examples=["open"],
                extra={"normalise": str.lower, "message": "status must be one of open|retrying|resolved"},
            ),
        ]
        | None
    ) = None
    page: PageNumber = 1
    page_size: PageSize = 20


class OpsException(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    type: str
    kind: str
    status: str
    supplier: str | msgspec.UnsetType = msgspec.UNSET
    last_error: str
    occurred_at: str
    attempts: int
    source: Annotated[Literal["fixtures", "view"], Meta(description="Made up, or what really failed")]


class ExceptionsAnswer(msgspec.Struct, frozen=True):
    ok: bool
    data: list[OpsException]
    request_id: str
    total: int
    page: int
    page_size: int
    source: str


class RetryInput(msgspec.Struct, frozen=True):
    exception_id: Annotated[UUID, Meta(description="An open exception")]
    note: Annotated[str, Meta(min_length=1, max_length=500, description="For other operators")] | None = None


class RetryAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str
    exception_id: str
    status: str


class ExceptionsController(Controller):
    @endpoint(
        "ops-exceptions",
        audit="ops.exceptions",
        method=GET,
        access=ops_unless("USE_FIXTURES", "1"),
        per_minute=10,
        functions=("ops.list_exceptions",),
    )
    async def list_exceptions(
        self,
        call: Call,
        params: ExceptionsInput,
        exceptions: NamedDependency[OpsQueue],
        offline_exceptions: NamedDependency[OpsQueue],
        switches: NamedDependency[Switches],
    ) -> Answer[ExceptionsAnswer]:
        """What went wrong and waits for ops, newest first.

        Offline the fixtures are in the list, for any key; what really failed is for ops alone.
        """
        query = ExceptionsQuery(**msgspec.structs.asdict(params))
        call.note(status=query.status)
        page = await (await _queue(exceptions, offline_exceptions, switches)).page(call.context, query)
        call.note(results=page.results)
        return Answer(page.body)

    @endpoint(
        "ops-exceptions-retry",
        audit="ops.exceptions.retry",
        access=Access.OPS,
        errors=(404, 409),
        functions=("public.retry_exception",),
    )
    async def retry(
        self,
        call: Call,
        data: RetryInput,
        exceptions: NamedDependency[OpsQueue],
        offline_exceptions: NamedDependency[OpsQueue],
        switches: NamedDependency[Switches],
    ) -> Answer[RetryAnswer]:
        """Queue the work behind an exception again.

        It ends as resolved, or is back as open with one attempt more. A resolved one is a conflict.
        """
        call.note(exception=data.exception_id)
        queue = await _queue(exceptions, offline_exceptions, switches)
        retried = await queue.retry(call.context, Retry(**msgspec.structs.asdict(data)))
        call.note(status=retried.value.status)
        return Answer(retried.body)


async def _queue(live: OpsQueue, offline: OpsQueue, switches: Switches) -> OpsQueue:
    return offline if await switches.value("USE_FIXTURES") == "1" else live
