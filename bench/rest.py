"""`/rest/v1` against a bare route and against pgbench running the engine's own SQL: `python -m bench.rest [rows]`."""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import time

import asyncpg

from bench import report
from bench.harness import Case, measure
from bench.load import Pgbench, Wrk, tool
from bench.raw import serving_raw
from bench.sql import CLAIMS, DEFINES, in_transaction, pipelined
from bench.stack import FOLDER, Stack, stack
from src.rest.catalog.introspection import Exposure, read_catalog
from src.rest.ports import Identity
from src.rest.protocol.reading import read
from src.rest.protocol.request import Configuration, Request
from src.rest.run.binding import Binder
from src.rest.sql.preparation import Preparation
from tests.support.processes import command, environment, free_port

BARE = "raw ASGI"
FOUR_TRIPS = "pgbench, four trips, 32 clients"
PIPELINED = "pgbench, pipelined, 8 clients"
TWENTY_ROWS = "/ops.v_bookings?supplier=eq.SUP-007&order=start_date,id&limit=20"


def cases(stack: Stack) -> list[Case]:
    """One row by key, 20 rows by filter, order and limit, and one embed."""
    key = str(stack.execute("select meta.made_id('itinerary', 4711)"))
    asked = {
        "rest, one row by key": f"/ops.v_bookings?id=eq.{key}",
        "rest, 20 rows": TWENTY_ROWS,
        "rest, one embed": f"/booking.itineraries?select=id,status,items(item_type,price_cents)&id=eq.{key}",
    }
    reach = {
        "rest, one row by key": {BARE: 0.38, FOUR_TRIPS: 1.0, PIPELINED: 0.35},
        "rest, 20 rows": {FOUR_TRIPS: 0.9},
    }
    statements = asyncio.run(_statements(stack, list(asked.values())))
    return [
        Case(
            name,
            Wrk(f"/rest/v1{target}", stack.user()),
            {
                BARE: Wrk(service="raw"),
                FOUR_TRIPS: Pgbench(in_transaction(statement), {**DEFINES, **values}),
                PIPELINED: Pgbench(pipelined(statement), {**DEFINES, **values}, clients=8),
            },
            reach.get(name, {}),
        )
        for (name, target), (statement, values) in zip(asked.items(), statements, strict=True)
    ]


async def _statements(stack: Stack, targets: list[str]) -> list[tuple[str, dict[str, str]]]:
    """The SQL that the engine makes of each target, its values as pgbench's variables."""
    settings = stack.services["main"].settings
    configuration = Configuration(schemas=settings.schemas, dotted_names=True)
    connection = await asyncpg.connect(settings.database_url)
    catalog = await read_catalog(connection, Exposure(settings.schemas))
    await connection.close()
    made = []
    for target in targets:
        path, _, query = target.partition("?")
        job = read(configuration, Request("GET", path, query.encode()))
        prepared = Preparation(catalog, configuration).prepare(job)
        values = Binder().arguments(prepared.slots, job, Identity("authenticated", CLAIMS))
        statement = re.sub(r"\$(\d+)", r":v\1", prepared.statement)
        made.append((statement, {f"v{number}": str(value) for number, value in enumerate(values, start=1)}))
    return made


def ready_seconds(stack: Stack, times: int = 5) -> float:
    """From the start of `ecotrips rest` over the database to its first word, the median."""
    taken = []
    for _ in range(times):
        settings = {"PGRST_DB_URI": stack.services["main"].settings.database_url, "PGRST_DB_ANON_ROLE": "anon"}
        began = time.monotonic()
        env = environment(**settings, PGRST_DB_SCHEMAS="booking", PGRST_SERVER_PORT=str(free_port()))
        with command(FOLDER, "rest", ready="serving http", env=env):
            taken.append(time.monotonic() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    tool("wrk")
    tool("pgbench")
    with stack(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000) as running, serving_raw(running):
        found = report.rows(measure(running, cases(running)))
        notes = [f"`ecotrips rest` is ready {ready_seconds(running):.1f} s after its start.", report.machine()]
    print(report.table(found))
    print("\n".join(notes))
    report.save(found, "rest", notes=notes)
