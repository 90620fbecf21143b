"""`search-places` and `search-index-populate` over HTTP."""

from __future__ import annotations

import asyncpg
import pytest

from src.settings import LIVE_SWITCHES
from tests.conftest import Api, serving


async def test_live_answers_come_from_the_catalogue_with_highlights(database: str) -> None:
    async with serving(database, switches=LIVE_SWITCHES) as api:
        answer = await api.post("search-places", {"query": "ruhen", "limit": 1})
        assert answer.status_code == 200
        body = answer.json()
        assert (body["source"], body["fallback"], body["query"], body["requestId"]) == (
            "catalog",
            False,
            "ruhen",
            body["request_id"],
        )
        (item,) = body["items"]
        assert item["matches"] == [{"field": "keywords", "index": 0, "terms": ["ruhen"], "ranges": [[0, 5]]}]
        assert item["entityType"] == "city"
        assert item["score"] == 5.95


async def test_offline_the_database_finds_the_fixtures_with_a_typo_and_says_what_it_meant(api: Api) -> None:
    body = (await api.post("search-places", {"query": "gorilas", "limit": 1})).json()
    assert (body["source"], body["fallback"]) == ("fixtures", True)
    (item,) = body["items"]
    assert item["slug"] == "volcanoes-national-park"
    assert item["matches"] == [{"field": "keywords", "index": 2, "terms": ["gorilas"], "ranges": [[0, 7]]}]


async def test_nothing_found_gives_the_popular_ones_without_matches(database: str) -> None:
    async with serving(database, switches=LIVE_SWITCHES) as api:
        items = (await api.post("search-places", {"query": "qqqqqq", "limit": 2})).json()["items"]
        assert [(item["slug"], item["matches"]) for item in items] == [("kigali", []), ("volcanoes-national-park", [])]


async def test_an_empty_index_falls_back_to_the_fixtures(database: str, admin: asyncpg.Connection) -> None:
    await admin.execute("delete from catalog.search_index")
    async with serving(database, switches=LIVE_SWITCHES) as api:
        body = (await api.post("search-places", {"query": "kigali"})).json()
        assert (body["source"], body["fallback"], body["items"][0]["slug"]) == ("fixtures", True, "kigali")
        filled = await api.post("search-index-populate", headers=api.service)
        assert filled.json()["seeded"] == 55
        assert (await api.post("search-places", {"query": "kigali"})).json()["source"] == "catalog"


async def test_a_database_that_is_away_falls_back_to_the_fixtures() -> None:
    async with serving("postgresql://nobody@127.0.0.1:1/none", switches=LIVE_SWITCHES) as away:
        body = (await away.post("search-places", {"query": "musanze"})).json()
        assert (body["source"], body["fallback"], body["items"][0]["slug"]) == ("fixtures", True, "musanze")
        assert (await away.post("search-index-populate", headers=away.service)).status_code == 503


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, ["query must be <= 120 characters"]),
        ({"query": "a" * 121}, ["query must be <= 120 characters"]),
        ({"query": "a", "limit": 13}, ["limit must be an integer from 1 to 12"]),
        ({"query": 5, "limit": "5"}, ["query must be <= 120 characters", "limit must be an integer from 1 to 12"]),
    ],
)
async def test_bad_input_is_refused_with_every_fault(api: Api, body: object, errors: list[str]) -> None:
    answer = await api.post("search-places", body)
    assert (answer.status_code, answer.json()["errors"]) == (400, errors)


async def test_only_the_service_populates(api: Api) -> None:
    assert (await api.post("search-index-populate")).status_code == 401
    assert (await api.post("search-index-populate", headers=api.ops)).status_code == 403


async def test_what_is_stored_too_deep_to_be_read_is_no_failure_of_ours(
    database: str, admin: asyncpg.Connection
) -> None:
    async with serving(database, switches=LIVE_SWITCHES) as live:
        await live.post("search-index-populate", {}, live.service)
        deep = '{"a":' * 2_000 + "1" + "}" * 2_000
        await admin.execute("update catalog.search_index set metadata = $1", deep)
        answer = await live.post("search-places", {"query": "Kigali"})
    assert (answer.status_code, answer.json()["error"]) == (409, "What is stored is nested too deeply to be read")
