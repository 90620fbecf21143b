"""`ops-exceptions` (API.md section 2; runbook "List exceptions by status")."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from src.domain.exceptions import ExceptionsQuery
from src.http.decode import from_query
from src.http.endpoint import Answer, Call, Endpoint, ops_unless
from src.http.fields import PageNumber, PageSize
from src.ports.exceptions import Exceptions
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


class OpsException(msgspec.Struct, frozen=True):
    id: str
    type: str
    kind: str
    status: str
    supplier: str | None
    last_error: str
    occurred_at: str
    attempts: int


class ExceptionsAnswer(msgspec.Struct, frozen=True):
    ok: bool
    data: list[OpsException]
    request_id: str
    total: int
    page: int
    page_size: int
    source: str


def endpoints(live: Exceptions, fixtures: Exceptions, switches: Switches) -> list[Endpoint]:
    async def list_exceptions(call: Call) -> Answer:
        """What went wrong and waits for ops, newest first.

        Offline any key may read the fixtures; live only ops may read.
        """
        query = ExceptionsQuery(**msgspec.structs.asdict(from_query(ExceptionsInput, call.query)))
        call.note(status=query.status)
        source = fixtures if await switches.value("USE_FIXTURES") == "1" else live
        page = await source.page(call.context, query)
        call.note(results=page.results)
        return Answer(page.body)

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
        )
    ]
