"""`ops-exceptions` and `ops-exceptions-retry` (docs/api.md, Bookings and exceptions)."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from src.domain.exceptions import ExceptionsQuery, Retry
from src.http.decode import from_body, from_query
from src.http.endpoint import Access, Answer, Call, Endpoint, ops_unless
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


def endpoints(live: OpsQueue, offline: OpsQueue, switches: Switches) -> list[Endpoint]:
    async def queue() -> OpsQueue:
        return offline if await switches.value("USE_FIXTURES") == "1" else live

    async def list_exceptions(call: Call) -> Answer:
        """What went wrong and waits for ops, newest first.

        Offline the fixtures are in the list, for any key; what really failed is for ops alone.
        """
        query = ExceptionsQuery(**msgspec.structs.asdict(from_query(ExceptionsInput, call.query)))
        call.note(status=query.status)
        page = await (await queue()).page(call.context, query)
        call.note(results=page.results)
        return Answer(page.body)

    async def retry(call: Call) -> Answer:
        """Queue the work behind an exception again.

        It ends as resolved, or is back as open with one attempt more. A resolved one is a conflict.
        """
        asked = from_body(RetryInput, call.body)
        call.note(exception=asked.exception_id)
        retried = await (await queue()).retry(call.context, Retry(**msgspec.structs.asdict(asked)))
        call.note(status=retried.status)
        return Answer(retried.body)

    return [
        Endpoint(
            "ops-exceptions",
            "ops.exceptions",
            list_exceptions,
            ExceptionsInput,
            ExceptionsAnswer,
            access=ops_unless(switches, "USE_FIXTURES", "1"),
            method="GET",
            per_minute=10,
            functions=("ops.list_exceptions",),
        ),
        Endpoint(
            "ops-exceptions-retry",
            "ops.exceptions.retry",
            retry,
            RetryInput,
            RetryAnswer,
            access=Access.OPS,
            errors=(404, 409),
            functions=("public.retry_exception",),
        ),
    ]
