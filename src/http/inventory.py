"""`inventory-search`, `inventory-quote`, `inventory-hold` (docs/api.md, Hotel inventory)."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import UNSET, Meta, UnsetType

from src.domain.errors import InputInvalid, Unavailable
from src.domain.inventory import (
    HoldRequest,
    HotelSearch,
    Pax,
    Question,
    RateQuery,
    Reply,
    Stay,
    hold_rate,
)
from src.domain.search import Place
from src.http.call import Access, Answer, Call
from src.http.decode import from_body
from src.http.endpoint import endpoint
from src.ports.inventory import Holds, Supplier
from src.ports.resilience import CircuitReading
from src.ports.search import Places
from src.ports.switches import Switches

Age = Annotated[int, Meta(ge=0, le=17)]


class PaxInput(msgspec.Struct, frozen=True):
    adults: Annotated[int, Meta(ge=1, le=20, examples=[2])]
    children: Annotated[int, Meta(ge=0, le=20)] = 0
    child_ages: list[Age] = []


class StayInput(msgspec.Struct, frozen=True, kw_only=True):
    check_in: Annotated[date, Meta(description="First night", examples=["2026-12-01"])]
    check_out: Annotated[date, Meta(description="Day of leaving", examples=["2026-12-03"])]
    pax: PaxInput

    @property
    def stay(self) -> Stay:
        pax = Pax(self.pax.adults, self.pax.children, tuple(self.pax.child_ages))
        return Stay(self.check_in, self.check_out, pax)


HotelId = Annotated[str, Meta(min_length=1, max_length=64, description="As inventory-search gave it")]
PlanId = Annotated[str, Meta(min_length=1, max_length=128, description="As inventory-quote gave it")]


class HotelsInput(StayInput, frozen=True, kw_only=True):
    city: Annotated[
        str, Meta(min_length=1, max_length=120, description="A place of the catalogue", examples=["Kigali"])
    ]


class QuoteInput(StayInput, frozen=True, kw_only=True):
    supplier_hotel_id: HotelId
    plan_id: PlanId | None = None


class HoldInput(StayInput, frozen=True, kw_only=True):
    supplier_hotel_id: HotelId
    plan_id: PlanId
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=255)]


class CacheFacts(msgspec.Struct, frozen=True):
    hit: bool
    stale: bool
    expires_at: str | UnsetType = UNSET


class HotelItem(msgspec.Struct, frozen=True):
    supplier_hotel_id: str
    name: str
    city: str
    price_cents: Annotated[int, Meta(description="The whole stay, minor units")]
    currency: str
    refundable: bool
    rate_type: str


class NightPrice(msgspec.Struct, frozen=True):
    date: date
    cents: int


class QuoteItem(msgspec.Struct, frozen=True, kw_only=True):
    supplier_hotel_id: str
    plan_id: str
    nightly: Sequence[NightPrice]
    total_cents: int
    currency: str
    refundable: bool
    hold_supported: bool
    bookable: Annotated[bool, Meta(description="False for an old price, served while the supplier fails")]
    price_changed: bool | UnsetType = UNSET
    previous_total_cents: int | UnsetType = UNSET


class Supplied(msgspec.Struct, frozen=True, kw_only=True):
    ok: bool = True
    supplier: str = "HBX"
    request_id: str
    source: Annotated[str, Meta(description="fixtures, HBX, cache or cache-stale")]
    circuit: Annotated[str, Meta(description="closed, open or half-open")]
    cache: CacheFacts


class HotelsAnswer(Supplied, frozen=True, kw_only=True):
    items: Sequence[HotelItem]


class QuoteAnswer(Supplied, frozen=True, kw_only=True):
    quote: QuoteItem


class HoldAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str
    source: str
    hold_ref: str
    expires_at: str
    idempotency_key: str
    total_cents: int
    currency: str


class Audited:
    """A supplier that leaves in the AUDIT line what it said and what its circuit is, on failures too."""

    def __init__(self, supplier: Supplier, circuit: CircuitReading, call: Call, source: str) -> None:
        self._supplier = supplier
        self._circuit = circuit
        self._call = call
        call.note(source=source, circuit=circuit.state, cache_hit=False, stale=False)

    async def ask(self, question: Question) -> Reply:
        try:
            reply = await self._supplier.ask(question)
        finally:
            self._call.note(circuit=self._circuit.state)
        self._call.note(source=reply.source, cache_hit=reply.cached, stale=reply.stale)
        return reply


FAILURES = (404, 409, 429, 503, 504)


class InventoryController(Controller):
    """`hotels` are the suppliers by the value of INVENTORY_OFFLINE."""

    @endpoint(
        "inventory-search",
        audit="inventory.search",
        per_minute=10,
        reads=HotelsInput,
        errors=FAILURES,
        functions=("public.locate_place",),
    )
    async def search(
        self,
        call: Call,
        hotels: NamedDependency[Mapping[str, Supplier]],
        circuit: NamedDependency[CircuitReading],
        switches: NamedDependency[Switches],
        places: NamedDependency[Places],
        fixture_search: NamedDependency[Places],
    ) -> Answer[HotelsAnswer]:
        """Hotels of a city with their cheapest price for the whole stay. An unknown city has none."""
        supplier = await _chosen(call, hotels, circuit, switches)
        data = from_body(HotelsInput, call.body, cached=True)
        stay = data.stay
        place = await _located(call, data.city, places, fixture_search)
        if place is None:
            reply = Reply(str(call.facts["source"]))
        else:
            reply = await supplier.ask(HotelSearch(place, stay))
        call.note(results=len(reply.hotels))
        return Answer(msgspec.json.encode({**_facts(call, reply, circuit), "items": reply.hotels}))

    @endpoint("inventory-quote", audit="inventory.quote", per_minute=12, reads=QuoteInput, errors=FAILURES)
    async def quote(
        self,
        call: Call,
        hotels: NamedDependency[Mapping[str, Supplier]],
        circuit: NamedDependency[CircuitReading],
        switches: NamedDependency[Switches],
    ) -> Answer[QuoteAnswer]:
        """The price of a plan of a hotel for each night; without a plan, of the cheapest one."""
        supplier = await _chosen(call, hotels, circuit, switches)
        data = from_body(QuoteInput, call.body, cached=True)
        reply = await supplier.ask(RateQuery(data.supplier_hotel_id, data.plan_id, data.stay))
        return Answer(msgspec.json.encode({**_facts(call, reply, circuit), "quote": _quote(reply)}))

    @endpoint(
        "inventory-hold",
        audit="inventory.hold",
        access=Access.USER,
        per_minute=6,
        reads=HoldInput,
        errors=FAILURES,
        functions=("public.find_hold", "public.place_hold"),
    )
    async def hold(
        self,
        call: Call,
        hotels: NamedDependency[Mapping[str, Supplier]],
        circuit: NamedDependency[CircuitReading],
        switches: NamedDependency[Switches],
        holds: NamedDependency[Holds],
    ) -> Answer[HoldAnswer]:
        """Keep a plan's price for 15 minutes. It is not a booking. The same idempotency key gives the same hold."""
        supplier = await _chosen(call, hotels, circuit, switches)
        data = from_body(HoldInput, call.body)
        wanted = HoldRequest(data.supplier_hotel_id, data.plan_id, data.stay, data.idempotency_key)
        user_id = call.context.caller.user_id
        if user_id is None:
            message = "A hold is a user's: send a user's token"
            raise InputInvalid(message)
        held = await hold_rate(call.context, user_id, wanted, supplier, holds)
        call.note(source=held.value.source, hold=held.value.hold_ref)
        return Answer(held.body)


async def _chosen(call: Call, hotels: Mapping[str, Supplier], circuit: CircuitReading, switches: Switches) -> Audited:
    offline = await switches.value("INVENTORY_OFFLINE")
    return Audited(hotels[offline], circuit, call, "fixtures" if offline == "1" else "HBX")


async def _located(call: Call, city: str, places: Places, curated: Places) -> Place | None:
    try:
        return await places.locate(call.context, city) or await curated.locate(call.context, city)
    except Unavailable:
        return await curated.locate(call.context, city)


def _facts(call: Call, reply: Reply, circuit: CircuitReading) -> dict[str, object]:
    cache: dict[str, object] = {"hit": reply.cached, "stale": reply.stale}
    if reply.expires_at is not None:
        cache["expires_at"] = reply.expires_at
    return {
        "ok": True,
        "supplier": "HBX",
        "request_id": call.context.request_id,
        "source": reply.source,
        "circuit": circuit.state,
        "cache": cache,
    }


def _quote(reply: Reply) -> QuoteItem:
    found = reply.quote
    assert found is not None  # noqa: S101 - a supplier answers a rate query with a quote or an error
    return QuoteItem(
        supplier_hotel_id=found.supplier_hotel_id,
        plan_id=found.plan_id,
        nightly=[NightPrice(night.date, night.cents) for night in found.nightly],
        total_cents=found.total_cents,
        currency=found.currency,
        refundable=found.refundable,
        hold_supported=found.hold_supported and not reply.stale,
        bookable=not reply.stale,
        price_changed=found.price_changed or UNSET,
        previous_total_cents=found.previous_total_cents or UNSET,
    )
