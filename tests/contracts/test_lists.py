"""Bookings and exceptions: one suite, on the fixtures and on the live views."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date

import pytest

from src.adapters.fixtures.lists import FixtureBookings
from src.adapters.postgres.bookings import PostgresBookings
from src.adapters.postgres.exceptions import OfflineExceptions, PostgresExceptions
from src.composition import compose
from src.domain.bookings import BookingsQuery
from src.domain.exceptions import ExceptionsQuery
from src.domain.paging import Page
from src.ports.bookings import Bookings
from src.ports.exceptions import OpsQueue
from tests.conftest import SERVICE_CONTEXT
from tests.support.postgres import settings


@dataclass
class Source:
    bookings: Bookings
    exceptions: OpsQueue


@pytest.fixture
async def fixtures(database: str) -> AsyncIterator[Source]:
    composed = compose(settings(database))
    yield Source(FixtureBookings(), OfflineExceptions(composed.database))
    await composed.database.close()


@pytest.fixture
async def views(database: str) -> AsyncIterator[Source]:
    composed = compose(settings(database))
    yield Source(PostgresBookings(composed.database), PostgresExceptions(composed.database))
    await composed.database.close()


@pytest.fixture(params=["fixtures", "views"])
def source(request: pytest.FixtureRequest) -> Source:
    found: Source = request.getfixturevalue(request.param)
    return found


def rows(page: Page) -> list[dict[str, object]]:
    data = json.loads(page.body)["data"]
    assert page.results == len(data)
    assert isinstance(data, list)
    return data


async def test_both_ends_of_the_range_are_inclusive(source: Source) -> None:
    page = await source.bookings.page(SERVICE_CONTEXT, BookingsQuery(date(2025, 10, 1), date(2025, 10, 2)))
    assert [row["start_date"] for row in rows(page)] == ["2025-10-01", "2025-10-02"]


async def test_an_open_range_lists_everything_in_order(source: Source) -> None:
    found = rows(await source.bookings.page(SERVICE_CONTEXT, BookingsQuery(page_size=100)))
    assert len(found) == 24
    assert found == sorted(found, key=lambda row: (row["start_date"], row["id"]))


async def test_the_supplier_is_an_exact_code_in_any_letter_case(source: Source) -> None:
    found = rows(await source.bookings.page(SERVICE_CONTEXT, BookingsQuery(supplier="hbx", page_size=100)))
    assert found
    assert {row["supplier"] for row in found} == {"HBX"}
    assert not rows(await source.bookings.page(SERVICE_CONTEXT, BookingsQuery(supplier="HB")))


async def test_pages_follow_each_other_without_overlap(source: Source) -> None:
    queries = [BookingsQuery(page=number, page_size=10) for number in (1, 2, 3, 4)]
    pages = [rows(await source.bookings.page(SERVICE_CONTEXT, query)) for query in queries]
    assert [len(page) for page in pages] == [10, 10, 4, 0]
    assert len({str(row["id"]) for page in pages for row in page}) == 24


async def test_exceptions_come_newest_first_and_by_status(source: Source) -> None:
    found = rows(await source.exceptions.page(SERVICE_CONTEXT, ExceptionsQuery(status="open")))
    assert [row["kind"] for row in found] == ["message", "webhook", "payment"]
    assert all(row["type"] == row["kind"] for row in found)


async def test_a_row_has_no_null_values(source: Source) -> None:
    found = rows(await source.bookings.page(SERVICE_CONTEXT, BookingsQuery(page_size=100)))
    assert all(value is not None for row in found for value in row.values())


async def test_both_sources_give_the_same_bodies(database: str) -> None:
    composed = compose(settings(database))
    second_page = BookingsQuery(date(2025, 10, 5), page=2, page_size=5)
    queries = [BookingsQuery(), second_page, BookingsQuery(supplier="Kivu-boats")]
    for query in queries:
        live = await PostgresBookings(composed.database).page(SERVICE_CONTEXT, query)
        fixture = await FixtureBookings().page(SERVICE_CONTEXT, query)
        assert json.loads(live.body) | {"source": ""} == json.loads(fixture.body) | {"source": ""}
    await composed.database.close()
