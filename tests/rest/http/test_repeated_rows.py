"""Embeds that lead back to where they came from show rows again and again: such an answer is bounded in SQL."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import quote

import asyncpg
import httpx
import pytest

from tests.conftest import ITINERARY, TRAVELLER, Api
from tests.support.processes import server

GROUP = "77777777-7777-4777-8777-777777777777"
MEMBERS = f"""
insert into "group".groups (id, name) values ('{GROUP}', 'Gorilla trek');
insert into "group".members (group_id, user_id) select '{GROUP}', gen_random_uuid() from generate_series(1, 40);
"""


def there_and_back(pairs: int, *, aliases: int = 1, down: str = "members", up: str = "groups") -> str:
    select = "id"
    for _ in range(pairs):
        select = ",".join(["id", *(f"a{n}:{down}(id,{up}({select}))" for n in range(aliases))])
    return select


@pytest.fixture
async def crowd(admin: asyncpg.Connection) -> None:
    await admin.execute(MEMBERS)


BOUNDED = [
    there_and_back(4),
    there_and_back(16),
    there_and_back(3, aliases=3),
    # Lists of another foreign key, an inner join, a spread list, a list that only filters.
    "members(groups(members(groups(members(groups(members(groups(escrows(id),members(id)))))))))",
    there_and_back(4, down="members!inner"),
    "id,members(id,groups(id,members(id,groups(id,members(id,groups(id,...members(m:id)))))))",
    "id,members(id,...groups(g:id,members(id,...groups(h:id,members(id,...groups(i:id,members(id)))))))",
    "id,...members(id,...groups(g:id,...members(m:id,...groups(h:id,...members(n:id,...groups(i:id,o:members(id)))))))",
]


OTHER_MEDIA = [
    pytest.param(accept, select, marks=[pytest.mark.heavy] if select != BOUNDED[0] else [])
    for accept in ("text/csv", "application/x-ndjson")
    for select in BOUNDED
]


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize(("accept", "select"), [*(("application/json", select) for select in BOUNDED), *OTHER_MEDIA])
async def test_an_answer_that_multiplies_is_refused(api: Api, select: str, accept: str) -> None:
    path = f"/rest/v1/group.groups?id=eq.{GROUP}&select={quote(select)}"
    answer = await api.http.get(path, headers={**Api.service, "accept": accept})
    assert answer.status_code == 400, answer.text[:300]
    assert answer.json()["code"] == "PT400"
    assert "4 MiB" in answer.json()["message"]


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize(
    "select",
    ["id,members(id,user_id)", "id,members(id,groups(name))", there_and_back(2), there_and_back(2, aliases=2)],
)
async def test_what_clients_ask_for_is_answered(api: Api, select: str) -> None:
    path = f"/rest/v1/group.groups?id=eq.{GROUP}&select={quote(select)}"
    answer = await api.http.get(path, headers=Api.service)
    assert answer.status_code == 200, answer.text[:300]
    (group,) = answer.json()
    assert len(group.get("members") or group["a0"]) == 40


async def test_an_answer_of_a_write_is_bounded_too(api: Api, admin: asyncpg.Connection) -> None:
    columns = "itinerary_id, item_type, supplier_ref, start_at, end_at, pax, price_cents, currency"
    fees = f"select '{ITINERARY}', 'fee', 'SUP', now(), now(), 1, 100, 'USD' from generate_series(1, 40)"
    await admin.execute(f"insert into booking.items ({columns}) {fees}")
    select = quote(there_and_back(4, down="items", up="itineraries"))
    answer = await api.http.patch(
        f"/rest/v1/booking.itineraries?id=eq.{ITINERARY}&select={select}",
        headers={**Api.service, "prefer": "return=representation"},
        json={"notes": "late"},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "PT400"), answer.text[:300]
    kept = await admin.fetchval("select notes from booking.itineraries where id = $1", ITINERARY)
    assert kept != "late"


@pytest.mark.usefixtures("crowd")
async def test_each_request_begins_anew(api: Api) -> None:
    path = f"/rest/v1/group.groups?id=eq.{GROUP}&select={quote(there_and_back(2, aliases=2))}"
    for _ in range(40):
        assert (await api.http.get(path, headers=Api.service)).status_code == 200


@pytest.fixture
async def member(admin: asyncpg.Connection) -> dict[str, str]:
    """Who sees a whole group, and is not ops."""
    await admin.execute(MEMBERS)
    await admin.execute('insert into "group".members (group_id, user_id) values ($1, $2)', GROUP, TRAVELLER)
    return Api.user()


def chain(pairs: int, last: str, join: str = "!inner") -> str:
    return f"members{join}(groups{join}(" * pairs + last + "))" * pairs


@pytest.mark.parametrize("limits", ["", "&limit=1", "&members.groups.members.limit=1000"])
@pytest.mark.parametrize(
    "select",
    [
        chain(5, "escrows!inner(id)"),
        chain(5, "escrows(id)"),
        chain(5, "escrows(id)", join=""),
        chain(5, "escrows!inner()"),
        "id," + "...members!inner(groups!inner(" * 5 + "escrows!inner(id)" + "))" * 5,
    ],
)
async def test_rows_that_nothing_is_shown_of_count_too(
    api: Api, member: dict[str, str], select: str, limits: str
) -> None:
    path = f"/rest/v1/group.groups?id=eq.{GROUP}&select={quote(select)}{limits}"
    began = time.monotonic()
    answer = await api.http.get(path, headers={**member, "prefer": "count=exact"})
    # Where PostgreSQL looks for the same rows once only, there is little to count.
    assert answer.text == "[]" or answer.json()["code"] == "PT400", answer.text[:300]
    # A statement of a user ends after 8 s.
    assert time.monotonic() - began < 5


EXPORT = f"/rest/v1/booking.items?select={quote('*,itineraries(*,items(*))')}"


@pytest.fixture
async def fees(admin: asyncpg.Connection) -> int:
    """A trip's items, whose lists below each of them are far more than the bound together."""
    columns = "itinerary_id, item_type, supplier_ref, start_at, end_at, pax, price_cents, currency"
    values = f"select '{ITINERARY}', 'fee', 'SUP', now(), now(), 1, 100, 'USD' from generate_series(1, 150)"
    await admin.execute(f"insert into booking.items ({columns}) {values}")
    return int(await admin.fetchval("select count(*) from booking.items"))


@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/x-ndjson"])
async def test_exports_of_ops_and_the_service_hold_the_rows_that_there_are(api: Api, fees: int, accept: str) -> None:
    for headers in (api.ops, api.service):
        answer = await api.http.get(EXPORT, headers={**headers, "accept": accept})
        assert answer.status_code == 200, answer.text[:300]
        assert len(answer.content) > 4 * 1024 * 1024
        rows = len(answer.json()) if "json" in accept and "nd" not in accept else answer.text.count("\n")
        assert rows == fees, answer.headers


def test_a_stream_that_meets_the_bound_is_no_whole_answer(database: str, fees: int, tmp_path: Path) -> None:
    """Over a real connection, as a client sees it."""
    with server(database, tmp_path) as running, httpx.Client(base_url=running.address) as http:
        headers = {**Api.user(), "accept": "application/x-ndjson"}
        received: list[bytes] = []
        path = f"/rest/v1/booking.items?select={quote('id,itineraries(id,items(id,item_type))')}"
        with http.stream("GET", path, headers=headers) as answer:
            assert answer.status_code == 200
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                received.extend(answer.iter_raw())
        assert 0 < b"".join(received).count(b"\n") < fees
        whole = http.get(path, headers={**Api.service, "accept": "application/x-ndjson"})
        assert whole.text.count("\n") == fees
