"""Ratios of the REST engine in one run: `python -m bench.rest [--rows N] [--rounds N] [--seconds N]`.

Each round interleaves, with the same clients: a bare route of the same server, each case through the engine, and
pgbench running the case's own SQL in PostgREST's four trips (BEGIN, settings, query, COMMIT). Only ratios carry over.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import jwt

from bench.load import tool
from bench.rest.app import SCHEMAS, SECRET, settings
from src.adapters.postgres import apply
from src.adapters.postgres.embedded import EmbeddedPostgres, binaries, running
from src.adapters.postgres.rest.binding import Binder
from src.adapters.postgres.rest.introspection import Exposure, read_catalog
from src.adapters.postgres.rest.preparation import Preparation
from src.domain.rest.reading import read
from src.domain.rest.request import Configuration, Request
from src.logins import login_dsn, role_password
from src.ports.rest import Identity

PORT = 8977
CLAIMS = '{"role":"service_role"}'
NUMBER = "00000000-0000-4000-8000-%012d"

FILL = """
insert into booking.itineraries
  (id, traveler, status, currency, total_cents, start_date, end_date, primary_supplier, has_items)
select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'Traveller ' || n,
  (array['pending', 'confirmed', 'completed', 'cancelled'])[1 + n % 4], 'USD', n * 100,
  date '2025-01-01' + n % 700, date '2025-01-01' + n % 700 + 3, 'S' || n % 500, true
from generate_series(1, $1) n
"""
ITEMS = """
insert into booking.items (itinerary_id, item_type, supplier_ref, start_at, end_at, pax, price_cents, currency)
select ('00000000-0000-4000-8000-' || lpad((1 + n % $1)::text, 12, '0'))::uuid, 'hotel', 'S1',
  now(), now(), 2, 100, 'USD'
from generate_series(1, $2) n
"""


@dataclass(frozen=True)
class Case:
    """`query` with %s where the random key goes; `key` makes it of a number, in Lua and in SQL."""

    name: str
    path: str
    query: str
    lua: str
    keys: int


def cases(rows: int) -> list[Case]:
    uuid = 'string.format("00000000-0000-4000-8000-%012d", n)'
    return [
        Case("one row by key", "booking.itineraries", "select=id,status,total_cents&id=eq.%s", uuid, rows),
        Case(
            "20 rows, filter + order",
            "booking.itineraries",
            "select=id,status,start_date,total_cents&primary_supplier=eq.%s&order=start_date,id&limit=20",
            '"S" .. n',
            499,
        ),
        Case("one embed", "booking.itineraries", "select=id,status,items(item_type,price_cents)&id=eq.%s", uuid, rows),
    ]


async def prepare_database(dsn: str, rows: int) -> None:
    await apply.apply(dsn, apply.shipped(), lambda role: role_password(settings(), role))
    connection = await asyncpg.connect(dsn, command_timeout=900)
    await connection.execute("set session_replication_role = replica")
    await connection.execute(FILL, rows)
    await connection.execute(ITEMS, rows, min(rows, 200_000))
    await connection.execute("vacuum analyze booking.itineraries")
    await connection.execute("vacuum analyze booking.items")
    await connection.close()


async def pgbench_script(case: Case) -> str:
    """The case as PostgREST would run it, its SQL made by the engine."""
    given = settings()
    connection = await asyncpg.connect(login_dsn(given, "web_service"))
    configuration = Configuration(schemas=SCHEMAS, dotted_names=True)
    catalog = await read_catalog(connection, Exposure(SCHEMAS))
    await connection.close()
    job = read(configuration, Request("GET", case.path, (case.query % "KEY").encode()))
    prepared = Preparation(catalog, configuration).prepare(job)
    arguments = Binder().arguments(prepared.slots, job, Identity("service_role", CLAIMS))
    key = "'S' || :n" if "S" in case.lua[:3] else "'00000000-0000-4000-8000-' || lpad(:n::text, 12, '0')"

    def bound(match: re.Match[str]) -> str:
        value = arguments[int(match[1]) - 1]
        return f"({key})" if value == "KEY" else str(value)

    statement = re.sub(r"\$(\d+)", bound, prepared.statement)
    return (
        f"\\set n random(1, {case.keys})\nBEGIN READ ONLY;\n"
        f"select set_config('request.jwt.claims', '{CLAIMS}', true), set_config('request.id', 'x', true);\n"
        f"{statement};\nCOMMIT;\n"
    )


@contextmanager
def serving() -> Iterator[subprocess.Popen[bytes]]:
    command = [
        *(sys.executable, "-m", "granian", "bench.rest.app:create", "--factory", "--interface", "asgi"),
        *("--port", str(PORT), "--workers", "1", "--loop", "uvloop", "--runtime-mode", "st", "--no-log"),
    ]
    server = subprocess.Popen(command)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/bare").read()
                break
            except OSError:
                time.sleep(0.05)
        yield server
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def wrk(path: str, clients: int, seconds: int, case: Case | None = None) -> tuple[float, float, float]:
    """Requests a second, p50 and p99 in ms."""
    token = jwt.encode({"role": "service_role"}, SECRET, algorithm="HS256")
    script = f"wrk.headers['apikey'] = '{token}'\n"
    if case is not None:
        query = case.query.replace("%", "%%").replace("%%s", "%s")
        script += (
            "local t = 0\nfunction setup(thread) thread:set('seed', t); t = t + 1 end\n"
            "function init(args) math.randomseed(seed * 7919 + 1) end\n"
            f"request = function() local n = math.random(1, {case.keys}); local key = {case.lua}\n"
            f"return wrk.format('GET', string.format('{path}?{query}', key)) end\n"
        )
    script += (
        "done = function(s, l, r) local bad = s.errors.status + s.errors.read + s.errors.timeout\n"
        "io.write(string.format('RESULT %f %f %f %d\\n', s.requests * 1e6 / s.duration, l:percentile(50) / 1000, "
        "l:percentile(99) / 1000, bad)) end\n"
    )
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        shown = subprocess.run(
            [tool("wrk"), "-t2", f"-c{clients}", f"-d{seconds}s", "-s", file.name, f"http://127.0.0.1:{PORT}{path}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    rate, p50, p99, bad = re.search(r"RESULT ([\d.]+) ([\d.]+) ([\d.]+) (\d+)", shown).groups()  # type: ignore[union-attr]  # printed above
    assert bad == "0", f"{bad} requests failed: {shown}"
    return float(rate), float(p50), float(p99)


def pgbench(script: str, folder: Path, clients: int, seconds: int) -> float:
    file = folder / "case.sql"
    file.write_text(script)
    shown = subprocess.run(
        [
            *(tool("pgbench"), "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds)),
            *("-f", str(file), "-h", os.environ["REST_BENCH_SOCKET"], "-U", "web_service", "ecotrips"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return float(re.search(r"tps = ([\d.]+) \(without", shown)[1])  # type: ignore[index]  # pgbench prints it


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=32)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ecotrips-bench-", dir=os.environ.get("REST_BENCH_FOLDER")) as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        server = EmbeddedPostgres(folder, binaries(os.environ.get("POSTGRES_BIN")), durable=False)
        with running(server):
            create = asyncpg.connect(server.url("postgres"))

            async def make() -> None:
                connection = await create
                await connection.execute("create database ecotrips")
                await connection.close()

            asyncio.run(make())
            os.environ["REST_BENCH_DSN"] = server.url("ecotrips")
            os.environ["REST_BENCH_SOCKET"] = str(server.socket_folder)
            asyncio.run(prepare_database(server.url("ecotrips"), given.rows))
            measure(given, folder)


def measure(given: argparse.Namespace, folder: Path) -> None:
    asked = cases(given.rows)
    scripts = {case.name: asyncio.run(pgbench_script(case)) for case in asked}
    to_bare: dict[str, list[float]] = {case.name: [] for case in asked}
    to_trips: dict[str, list[float]] = {case.name: [] for case in asked}
    tails: dict[str, list[float]] = {case.name: [] for case in asked}
    with serving():
        for case in asked:
            wrk(f"/rest/v1/{case.path}", given.clients, 1, case)
        for _ in range(given.rounds):
            bare, _, _ = wrk("/bare", given.clients, given.seconds)
            for case in asked:
                rate, p50, p99 = wrk(f"/rest/v1/{case.path}", given.clients, given.seconds, case)
                trips = pgbench(scripts[case.name], folder, given.clients, given.seconds)
                to_bare[case.name].append(rate / bare)
                to_trips[case.name].append(rate / trips)
                tails[case.name].append(p99 / p50)
                print(f"{case.name}: {rate:.0f}/s, bare {bare:.0f}/s, four trips {trips:.0f}/s", flush=True)
    result = {
        case.name: {
            "to a bare route": round(statistics.median(to_bare[case.name]), 3),
            "to pgbench in four trips": round(statistics.median(to_trips[case.name]), 3),
            "p99 to p50": round(statistics.median(tails[case.name]), 2),
        }
        for case in asked
    }
    print(json.dumps({"rows": given.rows, "clients": given.clients, "median of rounds": result}, indent=2))


if __name__ == "__main__":
    main()
