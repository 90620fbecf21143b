"""Holding a rate: one hold for a key, and never at a price that the supplier does not stand by now."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from src.domain.answered import Answered
from src.domain.errors import Conflict, InputInvalid, RateLimited, SupplierFailed
from src.domain.inventory import (
    Hold,
    HoldRequest,
    HotelSearch,
    Night,
    Pax,
    Question,
    Quote,
    RateQuery,
    Reply,
    Stay,
    hold_rate,
    key_of,
)
from src.domain.search import Place
from src.ports.inventory import Holds, Supplier
from tests.conftest import TRAVELLER, user_context
from tests.support.ports import Ports

USER = UUID(TRAVELLER)
STAY = Stay(date(2026, 12, 1), date(2026, 12, 3), Pax(2))
WANTED = HoldRequest("1234", "BB", STAY, "key-1")
QUOTE = Quote("1234", "BB", (Night(STAY.check_in, 9000), Night(date(2026, 12, 2), 9000)), 18000, "USD", refundable=True)
REPLY = Reply("HBX", quote=QUOTE)
HELD = Answered(Hold("HBX", "hold_1", "2026-11-24T05:15:00Z"), b"held")
KIGALI = Place("kigali", "city", "1", "Kigali")


def holds(ports: Ports, found: object = None) -> Any:
    return ports.fake(Holds, find=found, place=HELD)


def supplier(ports: Ports, answer: object = REPLY) -> Any:
    return ports.fake(Supplier, ask=answer)


async def test_the_price_is_asked_for_before_it_is_held() -> None:
    ports = Ports()
    assert await hold_rate(user_context(), USER, WANTED, supplier(ports), holds(ports)) == HELD
    assert ports.asked == ["Holds.find", "Supplier.ask", "Holds.place"]
    assert ports.calls[1].arguments == {"question": RateQuery("1234", "BB", STAY)}
    assert ports.calls[2].arguments == {"user_id": USER, "wanted": WANTED, "reply": REPLY}


async def test_a_hold_that_is_there_is_answered_without_the_supplier() -> None:
    ports = Ports()
    assert await hold_rate(user_context(), USER, WANTED, supplier(ports), holds(ports, HELD)) == HELD
    assert ports.asked == ["Holds.find"]


async def test_a_key_that_holds_something_else_asks_for_no_price() -> None:
    ports = Ports()
    with pytest.raises(Conflict):
        await hold_rate(user_context(), USER, WANTED, supplier(ports), holds(ports, Conflict("another rate")))
    assert ports.asked == ["Holds.find"]


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (replace(REPLY, cached=True, stale=True), SupplierFailed),
        (Reply("HBX"), SupplierFailed),
        (SupplierFailed("silence"), SupplierFailed),
        (RateLimited("too many"), RateLimited),
    ],
    ids=["an old price", "no price", "no answer", "too many calls"],
)
async def test_nothing_is_held_that_the_supplier_does_not_say_now(answer: object, failure: type[Exception]) -> None:
    ports = Ports()
    with pytest.raises(failure):
        await hold_rate(user_context(), USER, WANTED, supplier(ports, answer), holds(ports))
    assert ports.asked == ["Holds.find", "Supplier.ask"]


async def test_a_price_that_was_kept_and_is_still_fresh_may_be_held() -> None:
    ports = Ports()
    await hold_rate(user_context(), USER, WANTED, supplier(ports, replace(REPLY, cached=True)), holds(ports))
    assert ports.asked[-1] == "Holds.place"


@pytest.mark.parametrize(
    ("reply", "source"),
    [
        (Reply("fixtures", cached=True, stale=True), "fixtures"),
        (Reply("HBX"), "HBX"),
        (Reply("HBX", cached=True), "cache"),
        (Reply("HBX", cached=True, stale=True), "cache-stale"),
    ],
)
def test_an_answer_says_where_it_comes_from(reply: Reply, source: str) -> None:
    assert reply.source == source


def test_the_same_question_has_one_key_and_every_other_question_another() -> None:
    stays = [
        STAY,
        replace(STAY, check_in=date(2026, 11, 30)),
        replace(STAY, check_out=date(2026, 12, 4)),
        *(replace(STAY, pax=pax) for pax in (Pax(3), Pax(2, 1), Pax(2, 1, (4,)))),
    ]
    places = [KIGALI, replace(KIGALI, slug="musanze")]
    plans = [("1234", "BB"), ("1234", None), ("1235", "BB")]
    questions: list[Question] = [
        *(HotelSearch(place, stay) for place in places for stay in stays),
        *(RateQuery(*plan, stay) for plan in plans for stay in stays),
    ]
    assert len({key_of(question) for question in questions}) == len(questions)
    renamed = replace(KIGALI, title="Kigali City", popularity=9)
    assert key_of(HotelSearch(renamed, STAY)) == key_of(HotelSearch(KIGALI, STAY))


def test_a_stay_is_refused_with_every_fault() -> None:
    day = date(2026, 12, 1)
    with pytest.raises(InputInvalid) as refused:
        Stay(day, day, Pax(2, 2, (4,)))
    assert refused.value.errors == (
        "check_out must be after check_in",
        "pax.child_ages must give the age of each child",
    )
    with pytest.raises(InputInvalid, match="at most 30 nights"):
        Stay(day, date(2027, 1, 1), Pax(2))
    assert len(Stay(day, date(2026, 12, 31), Pax(2)).nights) == 30
