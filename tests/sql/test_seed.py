"""Made-up data of volume is valid under every invariant."""

from __future__ import annotations

import asyncpg

from src.adapters.postgres.seed import seed_volume

MADE = "select count(*) from booking.itineraries where traveler like 'Traveller %'"


async def test_made_up_books_verify_and_seeding_again_adds_only_what_is_missing(
    database: str, admin: asyncpg.Connection
) -> None:
    for volume in (40, 60, 60):
        await seed_volume(database, volume, lambda _done: None)
        assert await admin.fetchval(MADE) == volume
    assert await admin.fetch("select * from fin.verify_ledger()") == []
    statuses = await admin.fetch("select status, count(*) from payment.payments group by status")
    outcomes = {row["status"]: row["count"] for row in statuses}
    assert outcomes == {"succeeded": 42, "refunded": 6, "failed": 6, "processing": 6}
    assert await admin.fetchval("select count(*) from fin.entries") == 60 + 54 + 2 * 6
    wrong = """select count(*) from booking.itineraries i where has_items and start_date is distinct from (
        select min(start_at at time zone 'UTC')::date from booking.items where itinerary_id = i.id)"""
    assert await admin.fetchval(wrong) == 0
