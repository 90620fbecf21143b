"""`ops-bookings` (docs/api.md, Bookings and exceptions)."""

from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from src.domain.bookings import BookingsQuery
from src.http.decode import from_query
from src.http.endpoint import Answer, Call, Endpoint, ops_unless
from src.http.fields import PageNumber, PageSize
from src.ports.bookings import Bookings
from src.ports.switches import Switches


class BookingsInput(msgspec.Struct, frozen=True):
    start_from: (
        Annotated[
            date, Meta(description="First start date", examples=["2025-10-01"], extra={"message": "Invalid from date"})
        ]
        | None
    ) = msgspec.field(default=None, name="from")
    start_to: (
        Annotated[
            date, Meta(description="Last start date", examples=["2025-10-15"], extra={"message": "Invalid to date"})
        ]
        | None
    ) = msgspec.field(default=None, name="to")
    supplier: Annotated[str, Meta(max_length=64, description="A supplier's code, any letter case")] | None = None
    page: PageNumber = 1
    page_size: PageSize = 20


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    itinerary_id: str
    supplier: str | msgspec.UnsetType = msgspec.UNSET
    primary_supplier: str | msgspec.UnsetType = msgspec.UNSET
    start_date: date | msgspec.UnsetType = msgspec.UNSET
    end_date: date | msgspec.UnsetType = msgspec.UNSET
    traveler: str | msgspec.UnsetType = msgspec.UNSET
    status: str
    inventory_note: str | msgspec.UnsetType = msgspec.UNSET
    total_cents: int
    currency: str
    has_items: bool
    created_at: str


class BookingsAnswer(msgspec.Struct, frozen=True):
    ok: bool
    data: list[Booking]
    request_id: str
    total: int
    page: int
    page_size: int
    source: str


def endpoints(live: Bookings, fixtures: Bookings, switches: Switches) -> list[Endpoint]:
    async def list_bookings(call: Call) -> Answer:
        """Bookings whose start date lies in an inclusive range, oldest first.

        Offline any key may read the fixtures; live only ops may read.
        """
        asked = from_query(BookingsInput, call.query)
        call.note(**{"from": asked.start_from, "to": asked.start_to, "supplier": asked.supplier})
        query = BookingsQuery(**msgspec.structs.asdict(asked))
        source = fixtures if await switches.value("USE_FIXTURES") == "1" else live
        page = await source.page(call.context, query)
        call.note(results=page.results)
        return Answer(page.body)

    return [
        Endpoint(
            "ops-bookings",
            "ops.bookings",
            list_bookings,
            BookingsInput,
            BookingsAnswer,
            access=ops_unless(switches, "USE_FIXTURES", "1"),
            method="GET",
            per_minute=10,
            functions=("ops.list_bookings",),
        )
    ]
