"""Reads of the foreign world: filters, shapes, order, pages, counts, media types."""

from __future__ import annotations

from typing import Any

import pytest

from src.rest.protocol.reading import read
from src.rest.protocol.request import Request
from tests.rest.http.conftest import CONFIGURATION, World, serving_world

# Query string → the ids of the animals it finds.
FILTERS = {
    "id=eq.1": [1],
    "id=neq.1": [2, 3, 4, 5, 6],
    "id=gt.4": [5, 6],
    "id=gte.5&id=lt.6": [5],
    "id=lte.2": [1, 2],
    "name=like.K*": [1, 2, 3],
    "name=ilike.k%25": [1, 2, 3],
    "name=match.^P": [4, 5],
    "name=imatch.^p": [4, 5],
    "name=not.like.K*": [4, 5, 6],
    "id=in.(1,3)": [1, 3],
    'name=in.("Koko",Kiki)': [1, 2],
    "id=in.()": [],
    "id=not.in.(1,2,3)": [4, 5, 6],
    "weight=is.null": [6],
    "weight=is.NULL": [6],
    "weight=not.is.null": [1, 2, 3, 4, 5],
    "weight=is.not_null": [1, 2, 3, 4, 5],
    "weight=isdistinct.80": [1, 3, 4, 5, 6],
    "weight=not.isdistinct.80": [2],
    "mood=eq(any).{calm,hungry}": [1, 2, 4, 5, 6],
    "name=like(all).{K*,*o}": [1],
    "id=gt(any).{4,5}": [5, 6],
    "search=fts.running": [1],
    "search=plfts.runner": [2],
    "search=wfts.kittens or runner": [1, 2],
    "notes=phfts(english).likes running": [1],
    "notes=fts(english).run": [1],
    "search=not.fts.running": [2, 3, 4, 5, 6],
    "born=gte.2015-01-01T00:00:00Z": [4, 5],
    "or=(id.eq.1,name.eq.Polly)": [1, 4],
    "or=(id.eq.1,and(name.like.P*,weight.gt.10))": [1, 5],
    "not.or=(id.eq.1,id.eq.2)": [3, 4, 5, 6],
    "and=(id.gt.1,not.and(id.gt.2,id.lt.6))": [2, 6],
    "or=(mood.in.(angry,hungry),id.eq.6)": [2, 3, 5, 6],
    'or=(name.eq."Koko",notes.eq."talks 100% of the time")': [1, 4],
    "loud_name=eq.KOKO": [1],
    "age_group=is.null": [3, 6],
    "far_name=like.far P*": [4, 5],
}


@pytest.mark.parametrize("query", FILTERS)
async def test_a_filter_finds_its_rows(zoo: World, query: str) -> None:
    rows = await zoo.rows(f"/animals?select=id&order=id&{query}")
    assert [row["id"] for row in rows] == FILTERS[query]


HOUSES = {
    "tags=cs.{big}": [1, 4],
    "tags=cd.{big,warm,loud}": [1, 2, 3, 4],
    "tags=ov.{loud,warm}": [1, 2],
    "tags=eq.{}": [3],
    "open_hours=cs.[17,18)": [1, 4],
    "open_hours=ov.[0,8)": [4],
    "open_hours=sl.[18,20)": [1, 2],
    "open_hours=sr.[0,9)": [2],
    "open_hours=nxr.[0,18)": [1, 2],
    "open_hours=nxl.[8,30)": [1, 2],
    "open_hours=adj.[18,20)": [1],
    "facts=cs.{%22area%22:45}": [2],
    "facts->>area=eq.120": [1],
    "facts->area=gt.100": [1, 3],
    "facts->pond->>deep=eq.true": [1],
    "facts->pond->fish->>1=eq.eel": [1],
    "facts->ice=is.null": [1, 2, 4],
    "facts->>'ice'=is.null": [1, 2, 3, 4],
    "tags->>0=eq.big": [4],
    "country_id=eq.1": [1, 2],
}


@pytest.mark.parametrize("query", HOUSES)
async def test_arrays_ranges_and_json_are_compared_as_what_they_are(zoo: World, query: str) -> None:
    rows = await zoo.rows(f"/houses?select=id&order=id&{query}")
    assert [row["id"] for row in rows] == HOUSES[query]


SHAPES: dict[str, Any] = {
    "/animals?select=name,weight::text&id=eq.1": [{"name": "Koko", "weight": "160.50"}],
    "/animals?select=wie:name,loud_name&id=eq.1": [{"wie": "Koko", "loud_name": "KOKO"}],
    "/houses?select=facts->area,fish:facts->pond->fish->0,name&id=eq.1": [
        {"area": 120, "fish": "carp", "name": "Ape House"}
    ],
    "/houses?select=facts->pond->fish->>1&id=eq.1": [{"fish": "eel"}],
    "/houses?select=tags->0&id=eq.1": [{"tags": "warm"}],
    "/animals?select=count()": [{"count": 6}],
    "/animals?select=count": [{"count": 6}],
    "/animals?select=kind,n:count(),weight.sum()::int&order=kind&limit=2": [
        {"kind": "gorilla", "n": 3, "sum": 316},
        {"kind": "parrot", "n": 1, "sum": 1},
    ],
    "/houses?select=name,animals(weight.max())&id=eq.1": [{"name": "Ape House", "animals": [{"max": 160.5}]}],
    "/animals?select=kind,...houses(ids:id.sum())&order=kind&limit=1": [{"kind": "gorilla", "ids": 3}],
    "/odd%3B%20name?select=%22:id%22,%22a.b%22,with%20space,%22quo%5C%22te%22,طاولة,$dollar,UPPER&%22a.b%22=eq.dot": [
        {
            ":id": 1,
            "a.b": "dot",
            "with space": "space",
            'quo"te': "quote",
            "طاولة": "arabic",
            "$dollar": "dollar",
            "UPPER": "upper",
        }
    ],
    "/events?select=what,year&order=year": [{"what": "opening", "year": 2023}, {"what": "birth", "year": 2024}],
    "/kinds?kind=eq.gorilla": [{"kind": "gorilla", "number": 3}],
    "/paints?select=id,colour&colour=eq.%230000ff": [{"id": 1, "colour": "#0000ff"}],
    "/paints?select=id&colour=in.(%23ff0000,%23000000)": [{"id": 2}],
    "/animals?select=kind&distinct=true&order=kind.desc&limit=1": [{"kind": "unknown"}],
    "/no_key?select=b&order=b.desc": [{"b": "y"}, {"b": "x"}],
}


@pytest.mark.parametrize("path", SHAPES)
async def test_select_shapes_the_rows(zoo: World, path: str) -> None:
    assert await zoo.rows(path) == SHAPES[path]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("weight", [4, 5, 3, 2, 1, 6]),
        ("weight.desc", [6, 1, 2, 3, 5, 4]),
        ("weight.desc.nullslast", [1, 2, 3, 5, 4, 6]),
        ("weight.asc.nullsfirst", [6, 4, 5, 3, 2, 1]),
        ("weight.nullsfirst", [6, 4, 5, 3, 2, 1]),
        ("kind.desc,id.desc", [6, 5, 4, 3, 2, 1]),
        ("loud_name.desc,id", [4, 5, 6, 1, 2, 3]),
    ],
)
async def test_order_says_where_nulls_go(zoo: World, order: str, expected: list[int]) -> None:
    assert [row["id"] for row in await zoo.rows(f"/animals?select=id&order={order}")] == expected


@pytest.mark.parametrize(
    ("path", "headers", "status", "content_range"),
    [
        ("/animals?select=id", {}, 200, "0-5/*"),
        ("/animals?select=id&limit=2", {}, 200, "0-1/*"),
        ("/animals?select=id&limit=2&offset=1", {"prefer": "count=exact"}, 206, "1-2/6"),
        ("/animals?select=id", {"prefer": "count=exact"}, 200, "0-5/6"),
        ("/animals?select=id", {"range": "0-1", "range-unit": "items"}, 200, "0-1/*"),
        ("/animals?select=id", {"range": "4-", "prefer": "count=exact"}, 206, "4-5/6"),
        ("/animals?select=id&limit=3", {"range": "0-1"}, 200, "0-1/*"),
        ("/animals?select=id&limit=0", {}, 200, "*/*"),
        ("/animals?id=eq.99", {"prefer": "count=exact"}, 200, "*/0"),
        ("/animals?offset=100", {"prefer": "count=exact"}, 416, "*/6"),
        ("/animals?offset=-4&limit=2", {}, 200, "0-1/*"),
        ("/animals?offset=abc&limit=2", {}, 200, "0-1/*"),
        ("/houses?select=id,animals!inner(id)&limit=1", {"prefer": "count=exact"}, 206, "0-0/3"),
        ("/houses?select=id,animals()&animals=is.null", {"prefer": "count=exact"}, 200, "0-0/1"),
        ("/animals?select=kind&distinct=true&limit=1", {"prefer": "count=exact"}, 206, "0-0/4"),
    ],
)
async def test_pages_say_what_they_hold(
    zoo: World, path: str, headers: dict[str, str], status: int, content_range: str
) -> None:
    answer = await zoo.get(path, **headers)
    assert (answer.status_code, answer.headers["content-range"]) == (status, content_range)


@pytest.mark.parametrize(
    ("path", "headers", "details"),
    [
        ("/animals?limit=-1", {}, "Limit should be greater than or equal to zero."),
        (
            "/animals",
            {"range": "5-1"},
            "The lower boundary must be lower than or equal to the upper boundary in the Range header.",
        ),
        ("/animals?offset=9", {"prefer": "count=exact"}, "An offset of 9 was requested, but there are only 6 rows."),
    ],
)
async def test_impossible_ranges_are_416(zoo: World, path: str, headers: dict[str, str], details: str) -> None:
    answer = await zoo.get(path, **headers)
    assert answer.status_code == 416
    assert answer.json() == {
        "code": "PGRST103",
        "details": details,
        "hint": None,
        "message": "Requested range not satisfiable",
    }


async def test_a_planned_count_is_the_planners(zoo: World) -> None:
    answer = await zoo.get("/animals?select=id", prefer="count=planned")
    total = int(answer.headers["content-range"].split("/")[1])
    assert total > 0
    assert answer.headers["preference-applied"] == "count=planned"


async def test_the_largest_page_is_capped_at_every_level(zoo_database: str) -> None:
    async with serving_world(zoo_database, max_rows=2) as zoo:
        answer = await zoo.get("/houses?select=id,animals(id)&order=id", prefer="count=exact")
        assert answer.status_code == 206
        assert answer.headers["content-range"] == "0-1/4"
        assert [len(row["animals"]) for row in answer.json()] == [2, 1]
        estimated = await zoo.get("/animals?select=id", prefer="count=estimated")
        assert int(estimated.headers["content-range"].split("/")[1]) >= 3
        assert len(await zoo.rows("/animals?select=id&limit=1")) == 1
        assert len(await zoo.rows("/rpc/numbers?upto=9")) == 2


async def test_csv_has_the_rows_as_postgres_writes_them(zoo: World) -> None:
    answer = await zoo.get("/countries?select=id,name,select&order=id", accept="text/csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text == 'id,name,select\n1,Rwanda,"x,y"\n2,Kenya,\n3,Chad,"a""b\\\\c"'


async def test_one_row_may_be_asked_for_alone(zoo: World) -> None:
    single = "application/vnd.pgrst.object+json"
    answer = await zoo.get("/animals?select=id,notes&id=eq.3", accept=single)
    assert answer.json() == {"id": 3, "notes": None}
    assert answer.headers["content-type"] == f"{single}; charset=utf-8"
    stripped = await zoo.get("/animals?select=id,notes&id=eq.3", accept=f"{single};nulls=stripped")
    assert stripped.json() == {"id": 3}
    many = await zoo.get("/animals?select=id", accept=single)
    assert many.status_code == 406
    assert many.json()["details"] == "The result contains 6 rows"
    none = await zoo.get("/animals?id=eq.99", accept=single)
    assert none.json()["code"] == "PGRST116"


async def test_nulls_are_stripped_from_arrays(zoo: World) -> None:
    answer = await zoo.get(
        "/animals?select=id,weight&id=eq.6", accept="application/vnd.pgrst.array+json;nulls=stripped"
    )
    assert answer.json() == [{"id": 6}]


async def test_a_relation_may_have_its_own_media_type(zoo: World) -> None:
    answer = await zoo.get("/animals?id=lt.3", accept="text/x-lines")
    assert (answer.text, answer.headers["content-type"]) == ("Koko\nKiki\n", "text/x-lines")
    assert (await zoo.get("/animals?select=id", accept="text/x-lines")).status_code == 406


async def test_types_nobody_makes_are_406(zoo: World) -> None:
    answer = await zoo.get("/animals", accept="image/jpeg, application/openapi+json")
    assert answer.status_code == 406
    assert answer.json()["message"] == ("None of these media types are available: image/jpeg, application/openapi+json")


async def test_plans_are_shown_where_they_are_switched_on(zoo: World, zoo_database: str) -> None:
    accept = 'application/vnd.pgrst.plan+json; for="application/json"; options=verbose'
    answer = await zoo.get("/animals?id=eq.1", accept=accept)
    assert answer.json()[0]["Plan"]["Node Type"] == "Aggregate"
    assert answer.headers["content-type"] == f"{accept}; charset=utf-8"
    text = await zoo.get("/animals", accept="application/vnd.pgrst.plan")
    assert text.text.startswith("Aggregate")
    async with serving_world(zoo_database, plans=False) as without:
        assert (await without.get("/animals", accept=accept)).status_code == 406


async def test_head_has_the_headers_of_get_and_no_body(zoo: World) -> None:
    answer = await zoo.request("HEAD", "/animals?select=id", prefer="count=exact")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-range"] == "0-5/6"
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert "content-length" not in answer.headers


async def test_the_location_of_the_content_has_sorted_parameters(zoo: World) -> None:
    answer = await zoo.get("/animals?select=id,name&id=eq.1&name=like.K*")
    assert answer.headers["content-location"] == "/animals?id=eq.1&name=like.K%2A&select=id%2Cname"
    assert answer.headers["vary"] == "Accept, Prefer, Range"


async def test_filters_may_come_in_the_body(zoo: World) -> None:
    queried = await zoo.request("QUERY", "/animals?select=id", "id=in.(1,2)&order=id.desc")
    assert queried.json() == [{"id": 2}, {"id": 1}]
    posted = await zoo.request("POST", "/animals?select=id", "id=eq.3", prefer="read")
    assert (posted.status_code, posted.json()) == (200, [{"id": 3}])
    form = await zoo.request("QUERY", "/animals", "id=eq.3", content_type="application/x-www-form-urlencoded;a=b")
    assert [animal["id"] for animal in form.json()] == [3]


@pytest.mark.parametrize("path", ["/animals", "/rpc/numbers"])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "text/csv", "multipart/form-data", "x"])
async def test_filters_in_a_body_of_another_type_are_not_ignored(zoo: World, path: str, kind: str) -> None:
    for method, prefer in (("QUERY", {}), ("POST", {"prefer": "read"})):
        answer = await zoo.request(method, path, {"id": "eq.1"}, content_type=kind, **prefer)
        assert (answer.status_code, answer.json()["code"]) == (415, "PGRST102")
        assert answer.headers["accept-query"] == "application/x-www-form-urlencoded"
        blank = await zoo.request(method, f"{path}?upto=1" if "rpc" in path else path, " ", content_type=kind, **prefer)
        assert blank.status_code == 200


async def test_a_read_whose_like_came_twice_is_recalled(zoo: World) -> None:
    requests = [Request("GET", "/animals", b"select=name&id=eq.%d" % number) for number in range(3)]
    cached = []
    for request in requests:
        cached.append(zoo.engine.cached(request))
        zoo.engine.prepare(read(CONFIGURATION, request))
    assert cached[:2] == [None, None]
    assert cached[2] is not None
    assert cached[2][0] == read(CONFIGURATION, requests[2])


async def test_an_entity_tag_saves_sending_the_same_again(zoo: World) -> None:
    first = await zoo.get("/animals?select=id&id=eq.1")
    again = await zoo.get("/animals?select=id&id=eq.1", if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    other = await zoo.get("/animals?select=id&id=eq.2", if_none_match=first.headers["etag"])
    assert other.status_code == 200


@pytest.mark.parametrize(
    "query", ["name=match.(a{1,200}){1,200}", f"name=fts.{'!' * 33}a", f"name=not.fts(english).{'!' * 3000}a"]
)
async def test_what_postgresql_has_no_word_for_is_the_callers_fault(zoo: World, query: str) -> None:
    answer = await zoo.request("GET", f"/animals?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "54000")


@pytest.mark.parametrize(
    "path",
    [
        "/animals?id=in.(1,2)",
        "/animals?name=not.in.(a,b)",
        "/animals?name=eq(any).{a,b}",
        "/animals?or=(id.gt(all).{1,2},name.eq.b)",
        "/houses?tags=cs.{big}",
        "/houses?tags=eq.{big}",
        "/houses?tags=not.isdistinct.{big}",
        "/houses?select=id,animals(id)&animals.id=in.(1,2)",
    ],
)
async def test_a_list_is_read_once_and_not_for_each_row(zoo: World, path: str) -> None:
    plan = await zoo.get(path, accept="application/vnd.pgrst.plan+text; options=verbose")
    assert plan.status_code == 200, plan.text
    filters = [line for line in plan.text.splitlines() if "Filter:" in line or "Cond:" in line]
    assert "cstring" not in str(filters)
    assert "InitPlan" in plan.text
