"""Hotels of a supplier: what is free, what it costs, and a price kept for a while (docs/api.md, Hotel inventory)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from uuid import UUID

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.errors import InputInvalid, SupplierFailed
from src.domain.search import Place

if TYPE_CHECKING:
    from src.ports.inventory import Holds, Supplier

MAX_STAY = 30


class Pax(NamedTuple):
    """Who travels. Children without a given age count as CHILD_AGE years old."""

    adults: int
    children: int = 0
    child_ages: tuple[int, ...] = ()


CHILD_AGE = 8


@dataclass(frozen=True, slots=True)
class Stay:
    """The nights from check_in to check_out, and for whom."""

    check_in: date
    check_out: date
    pax: Pax

    def __post_init__(self) -> None:
        nights = (self.check_out - self.check_in).days
        faults = []
        if nights < 1:
            faults.append("check_out must be after check_in")
        if nights > MAX_STAY:
            faults.append(f"a stay must be at most {MAX_STAY} nights")
        if self.pax.child_ages and len(self.pax.child_ages) != self.pax.children:
            faults.append("pax.child_ages must give the age of each child")
        if faults:
            raise InputInvalid(*faults)

    @property
    def nights(self) -> Sequence[date]:
        return [self.check_in + timedelta(days=night) for night in range((self.check_out - self.check_in).days)]


class HotelSearch(NamedTuple):
    """Hotels at a place."""

    place: Place
    stay: Stay

    @property
    def kind(self) -> str:
        return "search"

    @property
    def fresh_seconds(self) -> int:
        return 600


class RateQuery(NamedTuple):
    """The price of a plan of one hotel; without a plan, of the cheapest."""

    supplier_hotel_id: str
    plan_id: str | None
    stay: Stay

    @property
    def kind(self) -> str:
        return "quote"

    @property
    def fresh_seconds(self) -> int:
        return 120


Question: TypeAlias = HotelSearch | RateQuery


@dataclass(frozen=True, slots=True)
class Hotel:
    """A hotel with its cheapest rate for the whole stay, in minor units."""

    supplier_hotel_id: str
    name: str
    city: str
    price_cents: int
    currency: str
    refundable: bool
    rate_type: str


@dataclass(frozen=True, slots=True)
class Night:
    date: date
    cents: int


@dataclass(frozen=True, slots=True)
class Quote:
    """A priced rate. `previous_total_cents` is the price before, when it has just changed."""

    supplier_hotel_id: str
    plan_id: str
    nightly: tuple[Night, ...]
    total_cents: int
    currency: str
    refundable: bool
    hold_supported: bool = True
    price_changed: bool = False
    previous_total_cents: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A supplier's answer: hotels to a search, one quote to a rate query.

    `origin` is HBX or fixtures. `expires_at` is set once the answer is cached; `cached` and `stale` mark answers from
    the cache.
    """

    origin: str
    hotels: tuple[Hotel, ...] = ()
    quote: Quote | None = None
    cached: bool = False
    stale: bool = False
    expires_at: str | None = None

    @property
    def source(self) -> str:
        """fixtures, HBX, or the cache of HBX."""
        if self.origin == "fixtures" or not self.cached:
            return self.origin
        return "cache-stale" if self.stale else "cache"


@dataclass(frozen=True, slots=True)
class Hold:
    """A priced rate kept for 15 minutes."""

    source: str
    hold_ref: str
    expires_at: str


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """What to hold; the same key again is the same hold."""

    supplier_hotel_id: str
    plan_id: str
    stay: Stay
    idempotency_key: str


def key_of(question: Question) -> str:
    """The cache key: SHA-256 of the question's canonical JSON."""
    stay, pax = question.stay, question.stay.pax
    asked: dict[str, object] = {
        "kind": question.kind,
        "check_in": stay.check_in.isoformat(),
        "check_out": stay.check_out.isoformat(),
        "pax": {"adults": pax.adults, "children": pax.children, "child_ages": pax.child_ages},
    }
    if isinstance(question, HotelSearch):
        asked["place"] = question.place.slug
    else:
        asked |= {"hotel": question.supplier_hotel_id, "plan": question.plan_id}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


async def hold_rate(
    context: Context, user_id: UUID, wanted: HoldRequest, supplier: Supplier, holds: Holds
) -> Answered[Hold]:
    """The hold of a key. The price is asked for first, and must be the supplier's current one.

    Raises NotFound (hotel or plan), Conflict (the key holds something else), SupplierFailed, RateLimited.
    """
    found = await holds.find(context, user_id, wanted)
    if found is not None:
        return found
    reply = await supplier.ask(RateQuery(wanted.supplier_hotel_id, wanted.plan_id, wanted.stay))
    if reply.stale or reply.quote is None:
        message = "The supplier does not answer, and an old price cannot be held"
        raise SupplierFailed(message)
    return await holds.place(context, user_id, wanted, reply)
