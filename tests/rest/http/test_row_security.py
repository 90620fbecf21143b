"""The planner guesses by all rows of a table: whoever may not see them all gets a count instead."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from src.rest.catalog.introspection import Exposure, read_catalog
from src.rest.catalog.model import Catalog, Name
from tests.conftest import Api
from tests.rest.http.conftest import World, serving_world

# A hundred rows of which a visitor sees three. Their statistics are there, and wrong: guesses differ from counts.
DIARIES = """
create role auditor nologin bypassrls;
create role curator nologin;
grant auditor, curator to gate;
grant usage on schema zoo, hidden, aside to auditor, curator;
create table zoo.diaries (id int primary key, animal_id int references zoo.animals, secret text);
insert into zoo.diaries select n, 1 + n % 6, 'x' from generate_series(1, 100) n;
create table zoo.walks (id int primary key, diary_id int references zoo.diaries);
insert into zoo.walks select n, n from generate_series(1, 100) n;
create table zoo.both (
  diary_id int references zoo.diaries, walk_id int references zoo.walks, primary key (diary_id, walk_id));
insert into zoo.both select n, n from generate_series(1, 100) n;
analyze zoo.diaries, zoo.walks, zoo.both;
insert into zoo.walks select n, n - 100 from generate_series(101, 105) n;
alter table zoo.diaries enable row level security;
create policy visible on zoo.diaries using (id <= 3);
alter table zoo.diaries owner to curator;

create table zoo.own (id int primary key);
insert into zoo.own select generate_series(1, 100);
analyze zoo.own;
alter table zoo.own enable row level security;
alter table zoo.own force row level security;
create policy visible on zoo.own using (id <= 3);
alter table zoo.own owner to curator;

create view zoo.by_owner as select * from zoo.diaries;
alter view zoo.by_owner owner to visitor;
create view zoo.by_superuser as select * from zoo.diaries;
create view zoo.by_invoker with (security_invoker) as select * from zoo.diaries;
create view zoo.nested with (security_invoker = on) as select * from zoo.by_invoker;
create view zoo.of_nested as select * from zoo.by_invoker;
create function aside.all_diaries() returns setof zoo.diaries language sql stable as 'select * from zoo.diaries';
create view zoo.by_function as select * from aside.all_diaries();
create materialized view zoo.stored as select * from zoo.diaries;
analyze zoo.stored;
create view zoo.plain as select * from zoo.walks;
create function zoo.walks_of(zoo.own) returns setof zoo.walks language sql stable rows 7
  as 'select w.* from zoo.walks w where w.diary_id = $1.id';
create function zoo.walked(zoo.walks) returns setof zoo.diaries language sql stable rows 7
  as 'select d.* from zoo.diaries d where d.id = $1.diary_id';
grant select on all tables in schema zoo to visitor, auditor, curator;
"""
UNDONE = "drop owned by auditor, curator cascade; drop role auditor, curator"


@pytest.fixture
async def diaries(world_database: str) -> AsyncIterator[World]:
    admin = await asyncpg.connect(world_database)
    await admin.execute(DIARIES)
    async with serving_world(world_database) as served:
        yield served
    await admin.execute(UNDONE)
    await admin.close()


async def total(world: World, path: str, role: str, count: str) -> int:
    answer = await world.request("GET", path, role=role, prefer=f"count={count}")
    assert answer.status_code in {200, 206}, answer.text
    assert answer.headers["preference-applied"] == f"count={count}"
    return int(answer.headers["content-range"].partition("/")[2])


OF_POLICIES = [
    "/diaries?select=id",
    "/diaries?select=id&secret=eq.x",
    "/diaries?select=id&id=lt.50",
    "/own?select=id",
    "/by_owner?select=id",
    "/by_invoker?select=id",
    "/nested?select=id",
    "/of_nested?select=id",
    "/walks?select=id,diaries!walks_diary_id_fkey!inner(id)",
    "/walks?select=id,d:diaries!walks_diary_id_fkey()&d=not.is.null",
    "/walks?select=id,diaries!both!inner(id)",
    "/animals?select=id,diaries!inner(walks!both!inner(id))",
]


@pytest.mark.parametrize("path", OF_POLICIES)
@pytest.mark.parametrize("count", ["planned", "estimated"])
async def test_who_sees_some_rows_is_told_how_many_those_are(diaries: World, path: str, count: str) -> None:
    exact = await total(diaries, path, "visitor", "exact")
    assert exact < 10
    assert await total(diaries, path, "visitor", count) == exact
    async with serving_world(diaries.dsn, max_rows=2) as capped:
        assert await total(capped, path, "visitor", count) == exact


async def test_who_sees_all_rows_is_told_the_planners_guess(diaries: World) -> None:
    for path, role in (
        ("/diaries?select=id", "auditor"),
        ("/diaries?select=id", "curator"),
        ("/own?select=id", "auditor"),
        ("/by_superuser?select=id", "visitor"),
        ("/by_invoker?select=id", "auditor"),
        ("/of_nested?select=id", "auditor"),
        ("/stored?select=id", "visitor"),
        ("/walks?select=id", "visitor"),
        ("/plain?select=id", "visitor"),
        ("/walks?select=id,diaries!both(id)", "visitor"),
    ):
        async with serving_world(diaries.dsn, max_rows=2) as capped:
            guess = await total(diaries, path, role, "planned")
            assert guess >= 95, path
            assert await total(capped, path, role, "estimated") == max(guess, 3), path
    assert await total(diaries, "/own?select=id", "curator", "planned") == 3


async def test_of_what_a_function_or_another_server_gives_nobody_is_sure_to_see_all(diaries: World) -> None:
    for path in (
        "/by_function?select=id",
        "/walks?select=id,walked!inner(id)",
        "/own?select=id,walks_of!inner(id)",
    ):
        for role in ("visitor", "auditor"):
            exact = await total(diaries, path, role, "exact")
            assert await total(diaries, path, role, "planned") == exact, (path, role)


async def test_the_catalog_says_who_sees_all_rows(diaries: World) -> None:
    connection = await asyncpg.connect(diaries.dsn)
    catalog = await read_catalog(connection, Exposure(("zoo",)))
    await connection.close()
    assert seers(catalog, "diaries") == frozenset(("postgres", "auditor", "curator"))
    assert seers(catalog, "own") == frozenset(("postgres", "auditor"))
    assert seers(catalog, "by_owner") == frozenset()
    assert seers(catalog, "by_function") == frozenset()
    for nobody_is_kept_from in ("by_superuser", "stored", "walks", "plain", "animals"):
        assert seers(catalog, nobody_is_kept_from) is None


def seers(catalog: Catalog, name: str) -> frozenset[str] | None:
    return catalog.tables[Name("zoo", name)].seers


@pytest.mark.parametrize("count", ["planned", "estimated"])
async def test_a_traveller_without_a_row_counts_none(api: Api, admin: asyncpg.Connection, count: str) -> None:
    await admin.execute("analyze")
    relations = await admin.fetch(
        "select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relrowsecurity and n.nspname = any ($1)",
        ["booking", "payment", "fin", "core", "permits", "group", "ops", "messaging", "privacy", "invoices"],
    )
    seen = 0
    for (name,) in relations:
        for filters in ("", "&user_id=eq.33333333-3333-4333-8333-333333333333"):
            headers = {**api.user("99999999-9999-4999-8999-999999999999"), "prefer": f"count={count}"}
            answer = await api.http.get(f"/rest/v1/{name}?limit=1{filters}", headers=headers)
            if answer.status_code < 300:
                seen += 1
                exact = {**headers, "prefer": "count=exact"}
                same = await api.http.get(f"/rest/v1/{name}?limit=1{filters}", headers=exact)
                assert answer.headers["content-range"] == same.headers["content-range"], name
    assert seen > 5


async def test_our_service_shows_nobody_a_plan(api: Api) -> None:
    for headers in (api.anonymous, api.user(), api.ops, api.service):
        for accept in ("application/vnd.pgrst.plan", 'application/vnd.pgrst.plan+json; for="application/json"'):
            answer = await api.http.get("/rest/v1/booking.items", headers={**headers, "accept": accept})
            assert (answer.status_code, answer.json()["code"]) == (406, "PGRST107")
