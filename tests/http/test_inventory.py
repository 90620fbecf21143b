"""`inventory-search`, `inventory-quote`, `inventory-hold` over HTTP, offline and against the fake supplier."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from src.adapters.resilience import cache, retry
from tests.conftest import OTHER_TRAVELLER, Api, serving
from tests.fakes.hbx.server import Behaviour, FakeHbx, running
from tests.support.processes import free_port
from tests.support.suppliers import live_settings

STAY = {"check_in": "2030-06-03", "check_out": "2030-06-06", "pax": {"adults": 2}}
SEARCH = {"city": "Kigali", **STAY}
QUOTE = {"supplier_hotel_id": "RW-KGL-001", **STAY}
HOLD = {**QUOTE, "plan_id": "flex-bb", "idempotency_key": "k1"}


@pytest.fixture
async def fake() -> AsyncIterator[FakeHbx]:
    async with running() as server:
        yield server


@pytest.fixture(autouse=True)
def _tries_follow_each_other_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DELAYS", (0.0, 0.0, 0.0))


@pytest.fixture
async def live(database: str, fake: FakeHbx) -> AsyncIterator[Api]:
    async with serving(database, **live_settings(fake)) as served:
        yield served


async def test_offline_nights_are_those_asked_for_and_weekends_cost_more(api: Api) -> None:
    body = {**QUOTE, "plan_id": "flex-bb", "check_in": "2030-06-06", "check_out": "2030-06-09"}
    quote = (await api.post("inventory-quote", body)).json()["quote"]
    assert quote["nightly"] == [
        {"date": "2030-06-06", "cents": 14500},
        {"date": "2030-06-07", "cents": 15950},
        {"date": "2030-06-08", "cents": 15950},
    ]
    assert (quote["total_cents"], quote["bookable"], quote["hold_supported"]) == (46400, True, True)


async def test_an_unknown_city_has_no_hotels_and_another_name_has(api: Api) -> None:
    unknown = (await api.post("inventory-search", {**SEARCH, "city": "Atlantis"})).json()
    assert (unknown["ok"], unknown["items"], unknown["source"]) == (True, [], "fixtures")
    other = (await api.post("inventory-search", {**SEARCH, "city": "ruhengeri"})).json()
    assert [item["city"] for item in other["items"]] == ["Musanze", "Musanze"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"check_out": "2030-06-03"}, "check_out must be after check_in"),
        ({"check_in": "2030-02-30"}, "check_in must be YYYY-MM-DD"),
        ({"pax": {"adults": 0}}, "pax.adults must be an integer from 1 to 20"),
        ({"pax": {"adults": 1, "children": 2, "child_ages": [4]}}, "pax.child_ages must give the age of each child"),
        ({"pax": None}, "pax must be an object"),
    ],
)
async def test_bad_input_is_refused(api: Api, change: dict[str, object], error: str) -> None:
    answer = await api.post("inventory-search", {**SEARCH, **change})
    assert (answer.status_code, answer.json()["errors"]) == (400, [error])


async def test_a_hold_is_placed_once_for_each_user_and_key(api: Api, admin: asyncpg.Connection) -> None:
    answers = await asyncio.gather(*(api.post("inventory-hold", HOLD, api.user()) for _ in range(8)))
    refs = {answer.json()["hold_ref"] for answer in answers}
    assert {answer.status_code for answer in answers} == {200}
    assert len(refs) == 1
    assert refs.pop().startswith("mock-")
    assert await admin.fetchval("select count(*) from inventory.holds") == 1
    assert await admin.fetchval("select expires_at - created_at = interval '15 minutes' from inventory.holds")
    assert (await api.post("inventory-hold", {**HOLD, "plan_id": "saver-bb"}, api.user())).status_code == 409
    other = await api.post("inventory-hold", HOLD, api.user(OTHER_TRAVELLER))
    assert other.json()["hold_ref"] != answers[0].json()["hold_ref"]
    assert (await api.post("inventory-hold", HOLD)).status_code == 401
    unknown = {**HOLD, "supplier_hotel_id": "nowhere", "idempotency_key": "k2"}
    assert (await api.post("inventory-hold", unknown, api.user())).status_code == 404


async def test_what_fixtures_said_is_never_served_live(api: Api, live: Api, fake: FakeHbx) -> None:
    assert (await api.post("inventory-search", SEARCH)).json()["source"] == "fixtures"
    fake.behaviour = Behaviour("broken")
    refused = await live.post("inventory-search", SEARCH)
    assert (refused.status_code, refused.json()["code"]) == (504, "SUPPLIER_TIMEOUT")


async def test_live_answers_are_kept_and_an_old_quote_is_not_bookable(
    live: Api, fake: FakeHbx, admin: asyncpg.Connection, database: str
) -> None:
    first = (await live.post("inventory-search", SEARCH)).json()
    again = (await live.post("inventory-search", SEARCH)).json()
    assert [(a["source"], a["cache"]["hit"], a["circuit"]) for a in (first, again)] == [
        ("HBX", False, "closed"),
        ("cache", True, "closed"),
    ]
    assert first["items"] == again["items"]
    assert first["cache"]["expires_at"] == again["cache"]["expires_at"]
    quote = {"supplier_hotel_id": "6001", **STAY}
    await live.post("inventory-quote", quote)
    await admin.execute("update inventory.cache set expires_at = now()")
    fake.behaviour = Behaviour("broken")
    async with serving(database, **live_settings(fake)) as fresh:
        stale = (await fresh.post("inventory-quote", quote)).json()
        assert (stale["source"], stale["cache"]["stale"], stale["quote"]["bookable"]) == ("cache-stale", True, False)
        held = {**quote, "plan_id": stale["quote"]["plan_id"], "idempotency_key": "k"}
        assert (await fresh.post("inventory-hold", held, fresh.user())).status_code == 504
    assert await admin.fetchval("select count(*) from inventory.holds") == 0


async def test_each_bad_day_is_a_documented_answer_and_its_audit_line_names_source_and_circuit(
    live: Api, admin: asyncpg.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    # Or the fifth failure would spare the others their call.
    await admin.execute("select force_circuit('hbx', 'closed')")
    statuses = {
        "9403": 504,  # credentials refused
        "9409": 409,  # sold out meanwhile
        "9429": 429,  # too many calls
        "9503": 504,  # overloaded
        "9500": 504,  # broken
        "9600": 429,  # a day's quota, said in XML
        "9602": 504,  # connections reset
        "9603": 504,  # truncated gzip
        "9604": 504,  # no JSON
        "9606": 504,  # JSON that is too deep
    }
    codes = {409: "DATA_CONFLICT", 429: "RATE_LIMITED", 504: "SUPPLIER_TIMEOUT"}
    calls = [live.post("inventory-quote", {"supplier_hotel_id": hotel, **STAY}) for hotel in statuses]
    answers = dict(zip(statuses, await asyncio.gather(*calls), strict=True))
    assert {hotel: answer.status_code for hotel, answer in answers.items()} == statuses
    for answer in answers.values():
        assert answer.json()["code"] == codes[answer.status_code]
        assert ("retry-after" in answer.headers) == (answer.status_code == 429)
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("AUDIT inventory.quote ")]
    assert len(lines) == len(statuses)
    for line in lines:
        assert " source=HBX circuit=closed cache_hit=False stale=False code=" in line


async def test_a_supplier_that_does_not_answer_in_time_is_given_up(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "DEADLINE", 0.2)
    for hotel in ("9601", "9605"):  # silence, and a body that trickles in
        answer = await live.post("inventory-quote", {"supplier_hotel_id": hotel, **STAY})
        assert (answer.status_code, answer.json()["code"]) == (504, "SUPPLIER_TIMEOUT")


async def test_a_supplier_that_is_not_there_is_a_documented_answer(
    database: str, fake: FakeHbx, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.url = f"http://127.0.0.1:{free_port()}"
    async with serving(database, **live_settings(fake)) as api:
        refused = await api.post("inventory-search", SEARCH)
    assert (refused.status_code, refused.json()["code"]) == (504, "SUPPLIER_TIMEOUT")
    assert " source=HBX circuit=closed cache_hit=False stale=False " in capfd.readouterr().out.splitlines()[-1]


async def test_a_spent_day_opens_the_circuit_and_both_are_told(
    live: Api, fake: FakeHbx, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.behaviour = Behaviour("quota", retry_after="38452")
    first = await live.post("inventory-search", SEARCH)
    assert (first.status_code, first.json()["code"]) == (429, "RATE_LIMITED")
    assert " source=HBX circuit=open " in capfd.readouterr().out.splitlines()[-1]
    spared = await live.post("inventory-search", {**SEARCH, "pax": {"adults": 9}})
    assert (spared.status_code, spared.json()["code"]) == (503, "SUPPLIER_TIMEOUT")
    for answer in (first, spared):
        assert 38_000 < int(answer.headers["retry-after"]) <= 38_452
    assert " source=HBX circuit=open " in capfd.readouterr().out.splitlines()[-1]
    assert len(fake.calls) == 1


async def test_a_refused_input_is_audited_with_source_and_circuit(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    for function in ("inventory-search", "inventory-quote", "inventory-hold"):
        assert (await api.post(function, {}, api.user())).status_code == 400
        line = capfd.readouterr().out.splitlines()[-1]
        assert " source=fixtures circuit=closed cache_hit=False stale=False code=INPUT_INVALID status=400" in line


async def test_a_live_hold_keeps_a_price_and_is_no_booking(live: Api, admin: asyncpg.Connection) -> None:
    body = {"supplier_hotel_id": "6001", "plan_id": "DBL.ST~BB~NOR", "idempotency_key": "k", **STAY}
    held = (await live.post("inventory-hold", body, live.user())).json()
    assert held["hold_ref"].startswith("hold-")
    assert held["total_cents"] == json.loads(await admin.fetchval("select quote from inventory.holds"))["total_cents"]
