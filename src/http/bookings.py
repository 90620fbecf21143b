"""`ops-bookings` (docs/api.md, Bookings and exceptions)."""

from datetime import date
from typing import Annotated

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import Meta

from src.domain.bookings import BookingsQuery
from src.http.call import Answer, Call, ops_unless
from src.http.endpoint import GET, endpoint
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


class BookingsController(Controller):
    @endpoint(
        "ops-bookings",
        audit="ops.bookings",
        method=GET,
        access=ops_unless("USE_FIXTURES", "1"),
        per_minute=10,
        functions=("ops.list_bookings",),
    )
    async def list_bookings(
        self,
        call: Call,
        params: BookingsInput,
        bookings: NamedDependency[Bookings],
        fixture_bookings: NamedDependency[Bookings],
        switches: NamedDependency[Switches],
    ) -> Answer[BookingsAnswer]:
        """Bookings whose start date lies in an inclusive range, oldest first.

        Offline any key may read the fixtures; live only ops may read.
        """
        call.note(**{"from": params.start_from, "to": params.start_to, "supplier": params.supplier})
        query = BookingsQuery(**msgspec.structs.asdict(params))
        source = fixture_bookings if await switches.value("USE_FIXTURES") == "1" else bookings
        page = await source.page(call.context, query)
        call.note(results=page.results)
        return Answer(page.body)
