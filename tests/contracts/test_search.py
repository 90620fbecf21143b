"""Finding places: one suite, on the fixtures and on the catalogue."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import asyncpg
import pytest

from src.adapters.fixtures.search import FixtureSearch
from src.adapters.postgres.search import PostgresSearch
from src.composition import compose
from src.domain.search import Place, PlacesQuery
from src.domain.search_folding import fold
from src.domain.search_highlights import highlights
from src.ports.search import SearchIndex
from tests.conftest import ANONYMOUS_CONTEXT, SERVICE_CONTEXT
from tests.support.postgres import settings


@pytest.fixture
def fixtures() -> SearchIndex:
    return FixtureSearch()


@pytest.fixture
async def catalog(database: str) -> AsyncIterator[SearchIndex]:
    composed = compose(settings(database))
    yield PostgresSearch(composed.database)
    await composed.database.close()


@pytest.fixture(params=["fixtures", "catalog"])
def index(request: pytest.FixtureRequest) -> SearchIndex:
    found: SearchIndex = request.getfixturevalue(request.param)
    return found


async def slugs(index: SearchIndex, query: str, limit: int = 5) -> list[str]:
    answer = await index.search(ANONYMOUS_CONTEXT, PlacesQuery(query, limit))
    return [place.slug for place in answer.places] if answer.found else []


async def first(index: SearchIndex, query: str) -> str | None:
    return next(iter(await slugs(index, query)), None)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("kigali", "kigali"),
        ("KIGALI ", "kigali"),
        ("k", "kigali"),
        ("mus", "musanze"),
        ("sao tome", "sao-tome"),
        ("SÃO TOMÉ", "sao-tome"),
        ("kings palace museum", "kings-palace-museum"),
        ("parc national de lakagera", "akagera-national-park"),
        ("gishwati-mukura", "gishwati-mukura-national-park"),
    ],
)
async def test_case_accents_and_punctuation_do_not_matter(index: SearchIndex, typed: str, meant: str) -> None:
    assert await first(index, typed) == meant


async def test_other_names_of_a_place_find_it(index: SearchIndex) -> None:
    assert await first(index, "ruhengeri") == "musanze"
    assert await first(index, "butare") == "huye"
    assert await first(index, "drc") == "democratic-republic-of-the-congo"


async def test_words_come_in_any_order_and_the_last_may_be_unfinished(catalog: SearchIndex) -> None:
    assert await first(catalog, "park national volc") == "volcanoes-national-park"
    assert await first(catalog, "rwanda musan") == "musanze"
    assert await slugs(catalog, "volc park") == []


@pytest.mark.parametrize(
    "typed", ["muzanze", "msanze", "mussanze", "umsanze", "musanez", "musaneze", "ruhengerri", "ruhemg"]
)
async def test_one_typo_is_forgiven_from_five_letters(catalog: SearchIndex, typed: str) -> None:
    assert await first(catalog, typed) == "musanze"


async def test_no_typo_is_forgiven_below_five_letters(catalog: SearchIndex) -> None:
    assert "goma" in await slugs(catalog, "goma")
    assert await slugs(catalog, "gima") == []


async def test_each_long_word_may_have_its_typo(catalog: SearchIndex) -> None:
    assert await first(catalog, "natinal park akagara") == "akagera-national-park"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("bujunbira", "bujumbura"), ("nyagatrae town", None), ("serengety natinal park", "serengeti-national-park")],
)
async def test_two_typos_are_forgiven_from_nine_letters(catalog: SearchIndex, typed: str, meant: str | None) -> None:
    assert await first(catalog, typed) == meant


async def test_exact_comes_before_prefix_before_typo(catalog: SearchIndex) -> None:
    assert (await slugs(catalog, "rwanda", 12))[0] == "rwanda"
    assert (await slugs(catalog, "virunga"))[:3] == [
        "volcanoes-national-park",
        "virunga-national-park",
        "virunga-view-lodge",
    ]
    assert await slugs(catalog, "lake") == [
        "lake-kivu",
        "gisenyi",
        "congo-nile-trail",
        "lake-muhazi",
        "lakes-burera-ruhondo",
    ]


async def test_what_fits_nothing_brings_the_most_popular(index: SearchIndex) -> None:
    for typed in ("zzzzzzzz", "", "???"):
        answer = await index.search(ANONYMOUS_CONTEXT, PlacesQuery(typed, 3))
        assert not answer.found
        assert [place.slug for place in answer.places] == ["kigali", "volcanoes-national-park", "rwanda"]


async def test_the_limit_is_kept(index: SearchIndex) -> None:
    assert len(await slugs(index, "r", 12)) <= 12
    assert len(await slugs(index, "national park", 2)) == 2


@pytest.mark.parametrize(
    "typed",
    [
        "'; drop table catalog.terms; --",
        "a:* & !b",
        "\\",
        "%_%",
        "(((",
        "\u202e",
        "🦍" * 60,
        "a" * 120,
        "é" * 120,
        "x y " * 30,
    ],
)
async def test_no_text_breaks_the_search(index: SearchIndex, typed: str) -> None:
    assert isinstance(await slugs(index, typed), list)


async def test_whatever_is_found_is_highlighted(catalog: SearchIndex) -> None:
    for typed in ["gorilas", "lakekivu", *spoilt(FixtureSearch(), random.Random(20))]:
        answer = await catalog.search(ANONYMOUS_CONTEXT, PlacesQuery(typed, 12))
        if answer.found:
            dark = [place.slug for place in answer.places if not highlights(place, fold(typed).split())]
            assert dark == [], typed


async def test_without_a_database_beginnings_are_found_and_the_popular_come_first() -> None:
    fixtures = FixtureSearch()
    assert await slugs(fixtures, "virunga") == [
        "volcanoes-national-park",
        "musanze",
        "virunga-national-park",
        "virunga-view-lodge",
    ]
    assert await slugs(fixtures, "national park", 2) == ["volcanoes-national-park", "nyungwe-national-park"]
    assert (await slugs(fixtures, "rwanda"))[0] == "rwanda"
    assert await slugs(fixtures, "anze") == []
    assert await slugs(fixtures, "muzanze") == []


def places(*named: tuple[str, int, tuple[str, ...]]) -> list[Place]:
    return [
        Place(title, "city", title, title.title(), keywords=keywords, popularity=popularity)
        for title, popularity, keywords in named
    ]


@pytest.mark.parametrize(
    ("made", "typed", "expected"),
    [
        (places(("xanadu", 10, ()), ("xanadi", 20, ())), "xanadu", ["xanadu"]),
        (
            places(("xanadu", 10, ()), ("xanadi", 20, ()), ("zanado", 90, ())),
            "xanado",
            ["xanadi", "xanadu", "zanado"],
        ),
        (
            # Two letters swapped, one left out, one wrong, one too many.
            places(("tarifon", 10, ()), ("taarfion", 20, ()), ("tarzion", 90, ()), ("tarfin", 95, ())),
            "tarfion",
            ["taarfion", "tarifon", "tarfin", "tarzion"],
        ),
        (places(("quixada", 10, ()), ("elsewhere", 50, ("quixado",))), "quixade", ["quixada", "elsewhere"]),
    ],
)
async def test_of_several_typos_the_likelier_comes_first(
    admin: asyncpg.Connection, database: str, made: list[Place], typed: str, expected: list[str]
) -> None:
    composed = compose(settings(database))
    catalog = PostgresSearch(composed.database)
    await admin.execute("delete from catalog.search_index")
    await catalog.populate(SERVICE_CONTEXT, made)
    assert await slugs(catalog, typed) == expected
    await composed.database.close()


def spoilt(fixtures: FixtureSearch, chance: random.Random) -> list[str]:
    """Names, beginnings, words in another order, and all of them with a letter or two changed."""
    names = [name for place in fixtures.places for name in (place.title, place.subtitle or "", *place.keywords)]
    found = []
    for _ in range(80):
        typed = chance.choice(names)
        if chance.random() < 0.3:
            typed = typed[: chance.randrange(1, len(typed) + 1)]
        if chance.random() < 0.3:
            typed = " ".join(chance.sample(typed.split(), len(typed.split())))
        if chance.random() < 0.6 and len(typed) > 2:
            at = chance.randrange(len(typed) - 1)
            change = chance.choice(["", typed[at] + "e", "e", typed[at + 1] + typed[at]])
            typed = typed[:at] + change + typed[at + 1 :]
        found.append(typed)
    return found


async def test_a_place_is_found_by_its_name_for_the_supplier(database: str) -> None:
    composed = compose(settings(database))
    for places in (FixtureSearch(), PostgresSearch(composed.database)):
        found = await places.locate(ANONYMOUS_CONTEXT, "Ruhengeri")
        assert found is not None
        assert (found.slug, found.metadata["latitude"]) == ("musanze", -1.4998)
        assert await places.locate(ANONYMOUS_CONTEXT, "Ruhenger") is None
    await composed.database.close()


async def test_a_changed_place_is_found_by_its_new_words_only(admin: asyncpg.Connection, database: str) -> None:
    composed = compose(settings(database))
    catalog = PostgresSearch(composed.database)
    await admin.execute(
        "update catalog.search_index set title = 'Xylophone Bay', keywords = '{}' where slug = 'kigali'"
    )
    assert await slugs(catalog, "xylofone bay") == ["kigali"]
    assert "kigali" not in await slugs(catalog, "umujyi wa kigali", 12)
    await admin.execute("delete from catalog.search_index where slug = 'kigali'")
    assert await slugs(catalog, "xylophone") == []
    left = "select count(*) from catalog.terms where not exists (select from catalog.postings where term_id = id)"
    assert await admin.fetchval(left) == 0
    await composed.database.close()
