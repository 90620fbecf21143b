"""Bookings where the rules live: an itinerary says what its items say, ops list all, travellers see their own."""

from __future__ import annotations

import json
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import OPS_USER, OTHER_TRAVELLER, TRAVELLER, as_role
from tests.support.races import raced, rule_of

MADE = """
insert into booking.itineraries (user_id, traveler, status, currency, total_cents)
values ($1, 'Amina', 'confirmed', 'USD', 100) returning id
"""
ADD = """
insert into booking.items (itinerary_id, item_type, supplier_ref, start_at, end_at, pax, price_cents, currency)
values ($1, 'hotel', $2, $3::date, $4::date, 2, 100, 'USD') returning id
"""
LIST = "select ops.list_bookings($1, $2, $3, $4, $5)"
FACTS = "select start_date, end_date, primary_supplier, has_items from booking.itineraries where id = $1"


async def made(connection: asyncpg.Connection, *items: tuple[str, int, int], user: str = TRAVELLER) -> UUID:
    """An itinerary with items of a supplier from one day of June to another."""
    itinerary: UUID = await connection.fetchval(MADE, user)
    for supplier, first, last in items:
        await connection.execute(ADD, itinerary, supplier, date(2031, 6, first), date(2031, 6, last))
    return itinerary


async def facts(admin: asyncpg.Connection, itinerary: UUID) -> tuple[object, ...]:
    return tuple(await admin.fetchrow(FACTS, itinerary) or ())


async def page(connection: asyncpg.Connection, *asked: object) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await connection.fetchval(LIST, *asked))
    return answer


async def test_an_itinerary_follows_its_items(admin: asyncpg.Connection) -> None:
    itinerary = await made(admin, ("SUP-B", 5, 9), ("SUP-A", 3, 4))
    assert await facts(admin, itinerary) == (date(2031, 6, 3), date(2031, 6, 9), "SUP-A", True)
    await admin.execute("update booking.items set end_at = '2031-06-30 00:00Z' where supplier_ref = 'SUP-A'")
    await admin.execute("delete from booking.items where supplier_ref = 'SUP-B' and itinerary_id = $1", itinerary)
    assert await facts(admin, itinerary) == (date(2031, 6, 3), date(2031, 6, 30), "SUP-A", True)
    await admin.execute("delete from booking.items where itinerary_id = $1", itinerary)
    assert await facts(admin, itinerary) == (date(2031, 6, 3), date(2031, 6, 30), "SUP-A", False)


async def test_two_items_at_once_both_count(database: str, admin: asyncpg.Connection) -> None:
    itinerary = await made(admin)
    async with as_role(database, Role.SERVICE) as one, as_role(database, Role.SERVICE) as other:
        await raced(
            one,
            one.fetchval(ADD, itinerary, "SUP-A", date(2031, 6, 1), date(2031, 6, 2)),
            other,
            other.fetchval(ADD, itinerary, "SUP-B", date(2031, 6, 8), date(2031, 6, 9)),
        )
    assert await facts(admin, itinerary) == (date(2031, 6, 1), date(2031, 6, 9), "SUP-A", True)


async def test_travellers_see_their_own_and_only_ops_list_all(database: str, admin: asyncpg.Connection) -> None:
    own = await made(admin, ("SUP-A", 1, 2))
    other = await made(admin, ("SUP-A", 1, 2), user=OTHER_TRAVELLER)
    asked = (date(2031, 6, 1), date(2031, 6, 30), None, 1, 20)
    async with as_role(database, Role.USER, TRAVELLER) as traveller, as_role(database, Role.USER, OPS_USER) as ops:
        for table, column in (("itineraries", "id"), ("items", "itinerary_id")):
            seen = await traveller.fetch(f"select {column} as id from booking.{table}")
            assert own in [row["id"] for row in seen]
            assert other not in [row["id"] for row in seen]
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="Only ops"):
            await page(traveller, *asked)
        assert {row["id"] for row in (await page(ops, *asked))["data"]} == {str(own), str(other)}
        for connection in (traveller, ops):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("delete from booking.itineraries")
    async with as_role(database, Role.ANONYMOUS) as anonymous:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await page(anonymous, *asked)


async def test_pages_hold_every_booking_once_in_order(admin: asyncpg.Connection) -> None:
    expected = [str(await made(admin, ("SUP-A", day, 20))) for day in (9, 3, 5, 3, 3)]
    june = (date(2031, 6, 1), date(2031, 6, 30), None)
    pages = [await page(admin, *june, number, 2) for number in (1, 2, 3, 4)]
    rows = [row for one in pages for row in one["data"]]
    assert [(row["start_date"], UUID(row["id"])) for row in rows] == sorted(
        (row["start_date"], UUID(row["id"])) for row in rows
    )
    assert sorted(row["id"] for row in rows) == sorted(expected)
    assert [one["total"] for one in pages] == [5] * 4


async def test_a_range_includes_both_its_days_and_a_supplier_is_found_in_any_case(admin: asyncpg.Connection) -> None:
    for day, supplier in ((1, "SUP-A"), (2, "SUP-B"), (3, "SUP-A"), (4, "SUP-A")):
        await made(admin, (supplier, day, 10))
    found = await page(admin, date(2031, 6, 1), date(2031, 6, 3), "sup-a", 1, 20)
    assert [row["start_date"] for row in found["data"]] == ["2031-06-01", "2031-06-03"]
    assert found["total"] == 2
    with pytest.raises(asyncpg.PostgresError) as refused:
        await page(admin, date(2031, 6, 2), date(2031, 6, 1), None, 1, 20)
    assert rule_of(refused.value) == "input_valid"
