"""A few characters of text stand for a hundred thousand digits of a number: what casts make of it is bounded in SQL."""

from __future__ import annotations

import time
from urllib.parse import quote

import asyncpg
import pytest

from tests.conftest import TRAVELLER, Api

GROUP = "77777777-7777-4777-8777-777777777777"

ASK = """
insert into permits.requests (user_id, park, visit_date, pax_count, note) values ($1, 'Akagera', '2031-01-01', 1, $2)
"""
LONG = "1e131071"
# What a text may be cast to, and texts of which more than 4 MiB become that way, as PostgreSQL reads each of them.
AMPLIFIED = {
    "jsonb": (f"[{','.join([LONG] * 55)}]", f'{{"a":{LONG}}}', "[1e-16383,1.5E+00131070]"),
    "jsonpath": (f"{LONG}",),
    "numeric": (LONG, "-.1e131071", " 0.1e-16000"),
    "numrange": (f"[-{LONG},{LONG}]", '["1"e131071,)', "[1\\e13\\1071,)"),
    "nummultirange": (f"{{[1,{LONG}]}}", '{["1\\e"131071,)}'),
}
ROWS = 300


@pytest.mark.parametrize(("to", "text"), [(to, text) for to, texts in AMPLIFIED.items() for text in texts])
async def test_numbers_that_texts_are_cast_to_have_a_bound_together(
    api: Api, admin: asyncpg.Connection, to: str, text: str
) -> None:
    await admin.executemany(ASK, [(TRAVELLER, text)] * ROWS)
    select = ",".join(f"{name}:note::{quote(to)}" for name in "abcdefgh")
    for accept in ("application/json", "text/csv"):
        began = time.monotonic()
        headers = {**api.user(), "accept": accept}
        answer = await api.http.get(f"/rest/v1/permits.requests?select={select}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "PT400"), answer.text[:300]
        assert time.monotonic() - began < 2


SMALL: dict[str, dict[str, object]] = {
    "[1, 2.5e3, null]": {"jsonb": [1, 2500, None], "json": [1, 2500.0, None]},
    "12.50": {"numeric": 12.5, "text": "12.50", "float8": 12.5, "jsonb": 12.5},
    "6.02e23": {"numeric": 602 * 10**21, "double precision": 6.02e23},
    "2031-01-01": {"date": "2031-01-01", "varchar": "2031-01-01"},
    "1e131071 is a text": {"text": "1e131071 is a text", "varchar": "1e131071 is a text"},
}


@pytest.mark.parametrize(("text", "to"), [(text, to) for text, types in SMALL.items() for to in types])
async def test_what_clients_cast_is_cast(api: Api, admin: asyncpg.Connection, text: str, to: str) -> None:
    await admin.executemany(ASK, [(TRAVELLER, text)] * ROWS)
    path = f"/rest/v1/permits.requests?select=a:note::{quote(to)},pax_count::numeric,visit_date::text"
    for headers in (api.user(), api.ops, api.service):
        answer = await api.http.get(path, headers=headers)
        assert answer.status_code == 200, answer.text[:300]
        rows = answer.json()
        assert len(rows) >= ROWS
        assert {"a": SMALL[text][to], "pax_count": 1, "visit_date": "2031-01-01"} in rows


async def test_ops_and_the_service_are_bounded_by_each_value(api: Api, admin: asyncpg.Connection) -> None:
    path = "/rest/v1/permits.requests?select=note::jsonb&pax_count=eq.1"
    await admin.executemany(ASK, [(TRAVELLER, "[1e100000]")] * 50)
    for headers, status in ((api.user(), 400), (api.ops, 200), (api.service, 200)):
        assert (await api.http.get(path, headers=headers)).status_code == status
    await admin.executemany(ASK, [(TRAVELLER, f"[{','.join([LONG] * 55)}]")])
    for headers in (api.user(), api.ops, api.service):
        assert (await api.http.get(path, headers=headers)).status_code == 400


@pytest.mark.parametrize(
    "select", ["groups(name::jsonb)", "...groups(n:name::jsonb)", "role,groups(members(groups(name::jsonb)))"]
)
async def test_what_is_embedded_counts_wherever_it_is_shown(api: Api, admin: asyncpg.Connection, select: str) -> None:
    await admin.execute(f"""
        insert into "group".groups (id, name) values ('{GROUP}', '[1e131071]');
        insert into "group".members (group_id, user_id) values ('{GROUP}', '{TRAVELLER}');
        insert into "group".members (group_id, user_id) select '{GROUP}', gen_random_uuid() from generate_series(1, 60)
    """)
    answer = await api.http.get(f"/rest/v1/group.members?select={select}", headers=api.user())
    assert (answer.status_code, answer.json()["code"]) == (400, "PT400"), answer.text[:300]
