"""Demo data: the curated fixtures, and any volume of made-up ones by set-based SQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asyncpg
import msgspec

from src.database.opened import connect

FOLDER = Path(__file__).parents[3] / "fixtures"

# Each table with the file and the key of its rows, in the order of their foreign keys.
DEMO = (
    ("core.profiles", "profiles", "profiles"),
    ("booking.suppliers", "suppliers", "suppliers"),
    ("booking.itineraries", "bookings", "itineraries"),
    ("booking.items", "bookings", "items"),
    ("ops.exceptions", "exceptions", "exceptions"),
    ("catalog.search_index", "places", "places"),
)
BATCH = 20_000
# An erased person's profile is not inserted again.
ERASED = """
select coalesce(array_agg(r.subject_user_id::text), '{}')
from privacy.requests r join privacy.certificates c on c.request_id = r.id
"""


class SeedError(ValueError):
    """Demo data was to be put into a production database."""


async def seed_demo(dsn: str, folder: Path = FOLDER) -> int:
    """Insert the missing fixtures, but no erased persons; returns the number of rows. Raises SeedError."""
    connection = await connect(dsn)
    try:
        await _refuse_production(connection)
        async with connection.transaction():
            erased = set(await connection.fetchval(ERASED))
            return sum([await _insert(connection, *source, folder, erased) for source in DEMO])
    finally:
        await connection.close()


async def _refuse_production(connection: asyncpg.Connection) -> None:
    if await connection.fetchval("select meta.is_production()"):
        message = "this is a production database: no made-up data goes into it"
        raise SeedError(message)


async def _insert(
    connection: asyncpg.Connection, table: str, file: str, key: str, folder: Path, erased: set[str]
) -> int:
    rows = msgspec.json.decode((folder / f"{file}.json").read_bytes(), type=dict[str, list[dict[str, object]]])[key]
    # The other columns take their defaults.
    columns = ", ".join(f'"{name}"' for name in rows[0])
    done = await connection.execute(
        f"insert into {table} ({columns}) select {columns} from jsonb_populate_recordset(null::{table}, $1)"  # noqa: S608 - names from our own files
        " on conflict do nothing",
        msgspec.json.encode([row for row in rows if row.get("auth_user_id") not in erased]).decode(),
    )
    return int(done.rpartition(" ")[2])


async def seed_volume(
    dsn: str, itineraries: int, report: Callable[[int], None], *, bookings_only: bool = False
) -> None:
    """Add `itineraries` itineraries, each with items, a payment and ledger rows.

    `report(done)` is called after each batch. `bookings_only` leaves out payments and ledger, which take the most time
    and space. Raises SeedError.
    """
    function = "meta.seed_bookings" if bookings_only else "meta.seed_volume"
    connection = await connect(dsn, server_settings={"synchronous_commit": "off"})
    try:
        await _refuse_production(connection)
        for first in range(1, itineraries + 1, BATCH):
            last = min(first + BATCH - 1, itineraries)
            await connection.execute(f"select {function}($1, $2)", first, last)
            if first == 1:
                # Replan each batch, because plans for empty tables are bad for full ones.
                await connection.execute("analyze")
            report(last)
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()
