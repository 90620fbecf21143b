"""Suppliers of hotels: one suite on the fixtures, on Hotelbeds, and on Hotelbeds behind all its wrappers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import pytest

from src.adapters.fixtures.inventory import FixtureHotels
from src.adapters.hbx.supplier import HbxSupplier
from src.domain.errors import NotFound
from src.domain.inventory import HotelSearch, Pax, Quote, RateQuery, Stay
from src.ports.inventory import Supplier
from tests.fakes.hbx.server import running
from tests.support.suppliers import KIGALI, NOWHERE, SEARCH, STAY, client_of, processes

STAYS = [
    STAY,
    Stay(date(2030, 6, 6), date(2030, 6, 7), Pax(1)),  # one night
    Stay(date(2030, 6, 6), date(2030, 6, 10), Pax(2, 1)),  # over a weekend
    Stay(date(2028, 2, 28), date(2028, 3, 1), Pax(2, 2, (4, 11))),  # over a leap day
    Stay(date(2030, 12, 20), date(2031, 1, 19), Pax(3)),  # as long as a stay may be
]


@pytest.fixture
def fixtures() -> FixtureHotels:
    return FixtureHotels()


@pytest.fixture
async def hbx() -> AsyncIterator[HbxSupplier]:
    async with running() as fake:
        client = client_of(fake)
        yield HbxSupplier(client)
        await client.close()


@pytest.fixture
async def wrapped_hbx(database: str) -> AsyncIterator[Supplier]:
    async with running() as fake, processes(database, fake, 1) as (one,):
        yield one.supplier


@pytest.fixture(params=["fixtures", "hbx", "wrapped_hbx"])
def supplier(request: pytest.FixtureRequest) -> Supplier:
    found: Supplier = request.getfixturevalue(request.param)
    return found


async def quoted(supplier: Supplier, query: RateQuery) -> Quote:
    quote = (await supplier.ask(query)).quote
    assert quote is not None
    return quote


async def hotel_of(supplier: Supplier) -> str:
    return (await supplier.ask(SEARCH)).hotels[0].supplier_hotel_id


@pytest.mark.parametrize("stay", STAYS)
async def test_hotels_of_a_place_have_their_price_for_the_whole_stay(supplier: Supplier, stay: Stay) -> None:
    found = (await supplier.ask(HotelSearch(KIGALI, stay))).hotels
    assert len({hotel.supplier_hotel_id for hotel in found}) == len(found) == 3
    for hotel in found:
        assert (hotel.city, len(hotel.currency)) == ("Kigali", 3)
        quote = await quoted(supplier, RateQuery(hotel.supplier_hotel_id, None, stay))
        assert (quote.total_cents, quote.currency) == (hotel.price_cents, hotel.currency)
        assert quote.refundable == hotel.refundable


async def test_a_place_that_the_supplier_does_not_know_has_no_hotels(supplier: Supplier) -> None:
    assert (await supplier.ask(HotelSearch(NOWHERE, STAY))).hotels == ()


@pytest.mark.parametrize("stay", STAYS)
async def test_a_quote_has_the_nights_that_were_asked_for_and_they_add_up(supplier: Supplier, stay: Stay) -> None:
    quote = await quoted(supplier, RateQuery(await hotel_of(supplier), None, stay))
    first = stay.check_in
    assert [night.date for night in quote.nightly] == [first + timedelta(n) for n in range(len(stay.nights))]
    assert quote.nightly[-1].date == stay.check_out - timedelta(1)
    assert sum(night.cents for night in quote.nightly) == quote.total_cents
    assert min(night.cents for night in quote.nightly) > 0


async def test_the_same_question_has_the_same_answer(supplier: Supplier) -> None:
    assert (await supplier.ask(SEARCH)).hotels == (await supplier.ask(SEARCH)).hotels
    query = RateQuery(await hotel_of(supplier), None, STAY)
    assert await quoted(supplier, query) == await quoted(supplier, query)


async def test_a_plan_can_be_asked_for_by_its_name(supplier: Supplier) -> None:
    query = RateQuery(await hotel_of(supplier), None, STAY)
    cheapest = await quoted(supplier, query)
    assert cheapest.supplier_hotel_id == query.supplier_hotel_id
    assert await quoted(supplier, query._replace(plan_id=cheapest.plan_id)) == cheapest


async def test_more_nights_and_more_travellers_cost_more(supplier: Supplier) -> None:
    hotel = await hotel_of(supplier)
    longer = replace(STAY, check_out=STAY.check_out + timedelta(1))
    stays = [STAY, longer, replace(longer, pax=Pax(2, 1, (8,))), replace(longer, pax=Pax(4))]
    totals = [(await quoted(supplier, RateQuery(hotel, None, stay))).total_cents for stay in stays]
    assert all(less < more for less, more in pairwise(totals))


async def test_what_nobody_knows_is_not_found(supplier: Supplier) -> None:
    known = await hotel_of(supplier)
    for hotel, plan in (("9404", None), ("no-such-hotel", None), ("٦٠٠١", None), (known, "no-such-plan")):
        with pytest.raises(NotFound):
            await supplier.ask(RateQuery(hotel, plan, STAY))


async def test_who_answered_is_told(supplier: Supplier) -> None:
    origin = "fixtures" if isinstance(supplier, FixtureHotels) else "HBX"
    for question in (SEARCH, RateQuery(await hotel_of(supplier), None, STAY)):
        reply = await supplier.ask(question)
        assert reply.origin == origin
        assert not reply.stale
