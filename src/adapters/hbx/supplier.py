"""Hotelbeds as a supplier of hotels and quotes.

A plan is identified by room, board and rate class, because the rateKey changes with every answer. Numbers may arrive as
text, and lists may be missing or null.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from src.adapters.hbx.client import UNREADABLE, HbxClient
from src.domain.errors import Conflict, NotFound, SupplierFailed
from src.domain.inventory import CHILD_AGE, Hotel, HotelSearch, Night, Question, Quote, RateQuery, Reply, Stay
from src.domain.money import minor_digits

AVAILABILITY_SECONDS = 5.0
CHECK_RATES_SECONDS = 6.5
RADIUS_KM = 20

Json = Mapping[str, object]


class HbxSupplier:
    """Availability for searches; availability, then checkrates where the rate asks for it, for quotes."""

    def __init__(self, client: HbxClient, markup_percent: Decimal = Decimal(0)) -> None:
        self._client = client
        self._factor = 1 + markup_percent / 100

    async def ask(self, question: Question) -> Reply:
        try:
            if isinstance(question, HotelSearch):
                hotels = await self._available(_where(question), question.stay)
                offers = tuple(offer for hotel in hotels for offer in self._offer(hotel, question.place.title))
                return Reply("HBX", hotels=offers)
            return Reply("HBX", quote=await self._quote(question))
        except (InvalidOperation, ValueError, TypeError, KeyError):
            raise SupplierFailed(UNREADABLE) from None

    async def _available(self, where: Json, stay: Stay) -> list[Json]:
        body = {"stay": _stay(stay), "occupancies": [_occupancy(stay)], "dailyRate": True, **where}
        answer = await self._client.post("/hotel-api/1.0/hotels", body, AVAILABILITY_SECONDS)
        return list(_objects(_object(answer, "hotels").get("hotels")))

    def _offer(self, hotel: Json, city: str) -> Iterator[Hotel]:
        rates = [rate for _, rate in _rates(hotel)]
        if rates:
            rate = min(rates, key=_net)
            currency = str(hotel["currency"])
            yield Hotel(
                supplier_hotel_id=str(hotel["code"]),
                name=str(hotel["name"]),
                city=city,
                price_cents=self._cents(_net(rate), currency),
                currency=currency,
                refundable=rate.get("rateClass") != "NRF",
                rate_type=str(rate.get("rateType", "BOOKABLE")),
            )

    async def _quote(self, question: RateQuery) -> Quote:
        if not (question.supplier_hotel_id.isascii() and question.supplier_hotel_id.isdigit()):
            message = "Hotel not found"
            raise NotFound(message)
        where = {"hotels": {"hotel": [int(question.supplier_hotel_id)]}}
        hotels = await self._available(where, question.stay)
        rates = [(plan, rate) for hotel in hotels for plan, rate in _rates(hotel) if question.plan_id in (None, plan)]
        if not rates:
            message = "Nothing is free for these nights" if not hotels else "Plan not found"
            raise NotFound(message)
        plan, offered = min(rates, key=lambda found: _net(found[1]))
        currency = str(hotels[0]["currency"])
        rate = offered
        if offered.get("rateType") == "RECHECK":
            rate, currency = await self._checked(str(offered["rateKey"]), currency)
        total, before = self._cents(_net(rate), currency), self._cents(_net(offered), currency)
        return Quote(
            supplier_hotel_id=question.supplier_hotel_id,
            plan_id=plan,
            nightly=_nightly(rate, total, question.stay),
            total_cents=total,
            currency=currency,
            refundable=rate.get("rateClass") != "NRF",
            price_changed=total != before,
            previous_total_cents=before if total != before else None,
        )

    async def _checked(self, rate_key: str, currency: str) -> tuple[Json, str]:
        answer = await self._client.post(
            "/hotel-api/1.0/checkrates", {"rooms": [{"rateKey": rate_key}]}, CHECK_RATES_SECONDS
        )
        hotel = _object(answer, "hotel") or next(_objects(answer.get("hotels")), {})
        for _, rate in _rates(hotel):
            return rate, str(hotel.get("currency", currency))
        message = "The rate is no longer available"
        raise Conflict(message)

    def _cents(self, net: Decimal, currency: str) -> int:
        units = net * self._factor * 10 ** minor_digits(currency)
        return int(units.quantize(Decimal(1), ROUND_HALF_UP))


def _where(search: HotelSearch) -> Json:
    metadata = search.place.metadata
    if "hbx_destination" in metadata:
        return {"destination": {"code": metadata["hbx_destination"]}}
    near = {"latitude": metadata["latitude"], "longitude": metadata["longitude"], "radius": RADIUS_KM, "unit": "km"}
    return {"geolocation": near}


def _stay(stay: Stay) -> Json:
    return {"checkIn": stay.check_in.isoformat(), "checkOut": stay.check_out.isoformat()}


def _occupancy(stay: Stay) -> Json:
    ages = stay.pax.child_ages or (CHILD_AGE,) * stay.pax.children
    paxes = [{"type": "CH", "age": age} for age in ages]
    children = {"paxes": paxes} if paxes else {}
    return {"rooms": 1, "adults": stay.pax.adults, "children": stay.pax.children, **children}


def _rates(hotel: Json) -> Iterator[tuple[str, Json]]:
    """Each rate that can be sold alone, with its plan."""
    for room in _objects(hotel.get("rooms")):
        for rate in _objects(room.get("rates")):
            if rate.get("packaging") not in (True, "true"):
                yield f"{room['code']}~{rate.get('boardCode', '')}~{rate.get('rateClass', '')}", rate


def _net(rate: Json) -> Decimal:
    net = Decimal(str(rate["net"]))
    if not net.is_finite() or net < 0:
        raise ValueError
    return net


def _nightly(rate: Json, total: int, stay: Stay) -> tuple[Night, ...]:
    """The total over the nights in the proportion of the daily rates, evenly without them; the sum is the total."""
    nights = stay.nights
    daily = [Decimal(str(day.get("dailyNet", 0))) for day in _objects(rate.get("dailyRates"))]
    weights = daily if len(daily) == len(nights) and sum(daily) > 0 else [Decimal(1)] * len(nights)
    whole = sum(weights)
    ends = [int(total * sum(weights[: number + 1]) / whole) for number in range(len(nights))]
    ends[-1] = total
    return tuple(Night(night, end - start) for night, start, end in zip(nights, [0, *ends], ends, strict=False))


def _object(value: Json, name: str) -> Json:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _objects(value: object) -> Iterator[Json]:
    yield from (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()
