"""Writes: insert, upsert, PUT, update, delete; what they return, refuse and undo."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from src.edge import body as bodies
from tests.rest.http.conftest import World, serving_world

REPRESENTATION = {"prefer": "return=representation"}


async def insert(world: World, path: str, body: object, **headers: str) -> httpx.Response:
    return await world.request("POST", path, body, role="keeper", **{**REPRESENTATION, **headers})


async def test_one_object_becomes_one_row(world: World) -> None:
    answer = await insert(world, "/visits?select=visitor,paid", {"visitor": "a", "paid": 3})
    assert (answer.status_code, answer.json()) == (201, [{"visitor": "a", "paid": 3}])
    assert answer.headers["content-range"] == "*/*"
    assert answer.headers["preference-applied"] == "return=representation"


async def test_without_a_preference_nothing_comes_back(world: World) -> None:
    answer = await world.request("POST", "/visits", {"visitor": "a"}, role="keeper")
    assert (answer.status_code, answer.content) == (201, b"")
    assert "content-type" not in answer.headers
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ["nobody"]),
        ([{}, {}], ["nobody", "nobody"]),
        ([], []),
        ([{"visitor": "a"}, {"visitor": None}], ["a", None]),
        ('\n\t [ {"visitor": "x"} ] ', ["x"]),
    ],
)
async def test_bodies_of_every_form_are_inserted(world: World, body: object, expected: list[str | None]) -> None:
    answer = await insert(world, "/visits?select=visitor", body, prefer="return=representation, count=exact")
    assert [row["visitor"] for row in answer.json()] == expected
    assert answer.headers["content-range"] == f"*/{len(expected)}"


async def test_csv_and_forms_are_read(world: World) -> None:
    long = "x" * 200_000
    csv = f'visitor,paid\n"a,b",1\nNULL,2\n,3\n{long},4\n'
    rows = (await insert(world, "/visits?select=visitor,paid", csv, content_type="text/csv")).json()
    assert rows == [
        {"visitor": "a,b", "paid": 1},
        {"visitor": None, "paid": 2},
        {"visitor": "", "paid": 3},
        {"visitor": long, "paid": 4},
    ]
    form = "visitor=J%C3%BCrgen+S&paid=5"
    rows = (
        await insert(world, "/visits?select=visitor,paid", form, content_type="application/x-www-form-urlencoded")
    ).json()
    assert rows == [{"visitor": "Jürgen S", "paid": 5}]


async def test_columns_choose_the_keys_and_missing_ones_may_take_their_default(world: World) -> None:
    body = [{"visitor": "a", "junk": 1}, {"paid": 1}]
    nulls = (await insert(world, "/visits?columns=visitor&select=visitor,paid", body)).json()
    assert nulls == [{"visitor": "a", "paid": 7}, {"visitor": None, "paid": 7}]
    answer = await insert(
        world, "/visits?columns=visitor,paid&select=visitor,paid", body, prefer="return=representation,missing=default"
    )
    assert answer.json() == [{"visitor": "a", "paid": 7}, {"visitor": "nobody", "paid": 1}]
    assert answer.headers["preference-applied"] == "missing=default, return=representation"


@pytest.mark.parametrize(
    ("path", "body", "headers", "message"),
    [
        ("/visits", "", {}, "Empty or invalid json"),
        ("/visits", "}{ x = 2", {}, "Empty or invalid json"),
        ("/visits", '{"paid": NaN}', {}, "Empty or invalid json"),
        ("/visits", [{"visitor": "a"}, {"paid": 1}], {}, "All object keys must match"),
        ("/visits", [{"visitor": "a"}, 1], {}, "All object keys must match"),
        ("/visits", "a,b\n1\n", {"content-type": "text/csv"}, "All lines must have same number of fields"),
        ("/visits", "x", {"content-type": "application/msgpack"}, "Content-Type not acceptable: application/msgpack"),
    ],
)
async def test_bodies_that_cannot_be_read_are_400(
    world: World, path: str, body: object, headers: dict[str, str], message: str
) -> None:
    answer = await world.request("POST", path, body, role="keeper", **headers)
    assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == (400, "PGRST102", message)


async def test_a_column_that_is_not_there_is_named(world: World) -> None:
    for path, body in (("/visits", {"nope": 1}), ("/visits?columns=nope", {"nope": 1})):
        answer = await world.request("POST", path, body, role="keeper")
        assert answer.status_code == 400
        assert answer.json()["message"] == "Could not find the 'nope' column of 'visits' in the schema cache"


async def test_only_headers_give_the_location_of_one_row(world: World) -> None:
    headers = {"prefer": "return=headers-only"}
    answer = await insert(world, "/cages", {"house_id": 3, "number": 9}, **headers)
    assert answer.headers["location"] == "/cages?house_id=eq.3&number=eq.9"
    assert answer.content == b""
    several = await insert(world, "/visits", [{}, {}], **headers)
    assert "location" not in several.headers
    assert "location" not in (await insert(world, "/no_key", {"a": 1}, **headers)).headers


async def test_columns_that_may_not_be_read_can_be_written(world: World) -> None:
    body = {"id": 1, "text": "x"}
    assert (await world.request("POST", "/write_only", body, role="keeper")).status_code == 201
    body["id"] = 2
    headers_only = await insert(world, "/write_only", body, prefer="return=headers-only")
    assert headers_only.headers["location"] == "/write_only?id=eq.2"
    assert (await insert(world, "/write_only", {**body, "id": 3})).status_code == 403
    assert (await insert(world, "/write_only?select=id", {**body, "id": 4})).json() == [{"id": 4}]


async def test_written_rows_come_back_shaped_and_embedded(world: World) -> None:
    path = "/animals?select=name,loud_name,houses(name),weight::text"
    answer = await insert(world, path, {"name": "Neo", "house_id": 2, "weight": 1})
    assert answer.json() == [{"name": "Neo", "loud_name": "NEO", "weight": "1.00", "houses": {"name": "Bird House"}}]
    computed = await insert(world, "/animals?select=name,home(name)", {"name": "Neo", "house_id": 1})
    assert computed.json() == [{"name": "Neo", "home": {"name": "Ape House"}}]
    view = await insert(world, "/big_houses", {"id": 90, "title": "V", "tags": ["big"]})
    assert view.json() == [{"id": 90, "title": "V", "land": None, "tags": ["big"]}]
    painted = await insert(world, "/paints", {"id": 9, "colour": "#010203", "name": "p"})
    assert painted.json() == [{"id": 9, "colour": "#010203", "name": "p"}]


@pytest.mark.parametrize(
    ("path", "body", "resolution", "status", "ids"),
    [
        ("/countries", [{"id": 1, "name": "Rwanda 2"}], "merge-duplicates", 200, [1]),
        ("/countries", [{"id": 1, "name": "R"}, {"id": 9, "name": "N"}], "merge-duplicates", 201, [1, 9]),
        ("/countries", [], "merge-duplicates", 200, []),
        ("/countries", [{"id": 1, "name": "R"}, {"id": 9, "name": "N"}], "ignore-duplicates", 201, [9]),
        ("/countries?on_conflict=name", [{"id": 1, "name": "Rwanda"}], "merge-duplicates", 200, [1]),
        ("/countries?on_conflict=name", [{"id": 77, "name": "Rwanda"}], "ignore-duplicates", 201, []),
        ("/house_plans?columns=house_id", [{"house_id": 1}, {"house_id": 3}], "merge-duplicates", 201, [1, 3]),
    ],
)
async def test_duplicates_are_merged_or_ignored(
    world: World, path: str, body: object, resolution: str, status: int, ids: list[int]
) -> None:
    answer = await insert(world, path, body, prefer=f"return=representation, resolution={resolution}")
    assert answer.status_code == status
    assert sorted(row.get("id") or row.get("house_id") for row in answer.json()) == ids
    assert answer.headers["preference-applied"] == f"resolution={resolution}, return=representation"


async def test_a_table_without_key_ignores_the_resolution(world: World) -> None:
    answer = await insert(
        world, "/no_key", {"a": 1, "b": "z"}, prefer="return=representation, resolution=merge-duplicates"
    )
    assert (answer.status_code, answer.json()) == (201, [{"a": 1, "b": "z"}])
    assert answer.headers["preference-applied"] == "return=representation"


async def test_put_inserts_or_replaces_exactly_the_row_of_its_url(world: World) -> None:
    async def put(path: str, body: object, **headers: str) -> tuple[int, object]:
        answer = await world.request("PUT", path, body, role="keeper", **headers)
        return answer.status_code, answer.json() if answer.content else None

    body = {"id": 30, "name": "Put"}
    row = {**body, "Größe km²": None, "select": None}
    assert await put("/countries?id=eq.30", body, **REPRESENTATION) == (201, [row])
    assert await put("/countries?id=eq.30", [body], **REPRESENTATION) == (200, [row])
    assert await put("/countries?id=eq.30", body) == (204, None)
    for path, status, code in (
        ("/countries?id=eq.31", 400, "PGRST115"),
        ("/countries?name=eq.Put", 405, "PGRST105"),
        ("/countries?id=gt.30", 405, "PGRST105"),
        ("/countries?id=eq.30&name=eq.Put", 405, "PGRST105"),
        ("/countries?or=(id.eq.30)", 405, "PGRST105"),
        ("/countries", 405, "PGRST105"),
        ("/no_key?a=eq.1", 405, "PGRST105"),
        ("/countries?id=eq.30&limit=1", 400, "PGRST114"),
    ):
        answer = await world.request("PUT", path, body, role="keeper")
        assert (answer.status_code, answer.json()["code"]) == (status, code), path


async def test_patch_updates_what_the_filters_find(world: World) -> None:
    async def patch(path: str, body: object, **headers: str) -> httpx.Response:
        return await world.request("PATCH", path, body, role="keeper", **headers)

    quiet = await patch("/animals?id=eq.3", {"notes": "n"})
    assert (quiet.status_code, quiet.content, quiet.headers["content-range"]) == (204, b"", "0-0/*")
    shown = await patch("/animals?id=lt.3&select=id,notes,houses(name)&order=id.desc", {"notes": "m"}, **REPRESENTATION)
    assert shown.json() == [
        {"id": 2, "notes": "m", "houses": {"name": "Ape House"}},
        {"id": 1, "notes": "m", "houses": {"name": "Ape House"}},
    ]
    assert (await patch("/animals?id=eq.99", {"notes": "x"}, **REPRESENTATION)).json() == []
    assert (await patch("/animals?id=eq.1", {}, **REPRESENTATION)).json() == []
    first = await patch("/animals?id=eq.1&select=notes", [{"notes": "1"}, {"notes": "2"}], **REPRESENTATION)
    assert first.json() == [{"notes": "1"}]
    default = await patch(
        "/animals?id=eq.2&columns=kind,notes&select=kind,notes",
        {"notes": "d"},
        prefer="return=representation, missing=default",
    )
    assert default.json() == [{"kind": "unknown", "notes": "d"}]
    embed_filter = await patch(
        "/houses?id=eq.1&select=id,animals(id)&animals.id=eq.1", {"name": "Apes"}, **REPRESENTATION
    )
    assert embed_filter.json() == [{"id": 1, "animals": [{"id": 1}]}]


async def test_delete_removes_what_the_filters_find(world: World) -> None:
    answer = await world.request(
        "DELETE",
        "/keeping?keeper_id=eq.1&select=animal_id&order=animal_id",
        role="keeper",
        prefer="return=representation, count=exact",
    )
    assert (answer.status_code, answer.json()) == (200, [{"animal_id": 1}, {"animal_id": 2}])
    assert answer.headers["content-range"] == "*/2"
    none = await world.request("DELETE", "/keeping?keeper_id=eq.99", role="keeper")
    assert (none.status_code, none.content) == (204, b"")


async def test_more_than_wanted_is_undone(world: World) -> None:
    strict = {"prefer": "handling=strict, max-affected=2, return=representation"}
    too_many = await world.request("DELETE", "/keeping", role="keeper", **strict)
    assert too_many.status_code == 400
    assert too_many.json()["details"] == "The query affects 5 rows"
    single = await world.request(
        "PATCH",
        "/animals?id=lt.3",
        {"notes": "zz"},
        role="keeper",
        accept="application/vnd.pgrst.object+json",
        **REPRESENTATION,
    )
    assert single.json()["code"] == "PGRST116"
    assert await world.rows("/animals?notes=eq.zz") == []
    assert (await world.rows("/keeping?select=count()"))[0]["count"] == 5
    few = await world.request("DELETE", "/keeping?keeper_id=eq.3", role="keeper", **strict)
    assert few.headers["preference-applied"] == "return=representation, handling=strict, max-affected=2"
    lenient = await world.request("DELETE", "/keeping", role="keeper", prefer="max-affected=1")
    assert lenient.status_code == 204


async def test_a_transaction_ends_as_asked_where_that_is_allowed(world: World, world_database: str) -> None:
    answer = await world.request("DELETE", "/keeping", role="keeper", prefer="tx=rollback, return=representation")
    assert len(answer.json()) == 5
    assert answer.headers["preference-applied"] == "return=representation, tx=rollback"
    assert (await world.rows("/keeping?select=count()"))[0]["count"] == 5
    async with serving_world(world_database, transaction_end="rollback", may_end_transaction=False) as dry:
        await dry.request("DELETE", "/keeping", role="keeper", prefer="tx=commit")
        assert (await dry.rows("/keeping?select=count()"))[0]["count"] == 5


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/countries", {"id": 1, "name": "X"}, 409, "23505"),
        ("/animals", {"name": "x", "house_id": 99}, 409, "23503"),
        ("/animals", {"name": None}, 400, "23502"),
        ("/animals", {"name": "x", "weight": -1}, 400, "23514"),
        ("/animals", {"name": "a name that is too long"}, 400, "22001"),
        ("/animals", {"name": "x", "mood": "sad"}, 400, "22P02"),
        ("/animals", {"id": "x", "name": "y"}, 400, "22P02"),
        ("/kinds", {"kind": "x"}, 400, "42809"),
    ],
)
async def test_what_the_database_refuses_keeps_its_code(
    world: World, path: str, body: object, status: int, code: str
) -> None:
    answer = await world.request("POST", path, body, role="keeper")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_grants_close_what_is_not_given(world: World) -> None:
    anonymous = await world.request("POST", "/visits", {"visitor": "x"})
    assert anonymous.status_code == 401
    assert anonymous.headers["www-authenticate"] == "Bearer"
    assert anonymous.json() == {
        "code": "42501",
        "details": None,
        "hint": None,
        "message": "permission denied for table visits",
    }


@pytest.mark.parametrize(("breaks_off", "status"), [(True, 400), (False, 408)])
async def test_what_breaks_off_or_trickles_is_not_taken_for_the_whole(
    world: World, monkeypatch: pytest.MonkeyPatch, *, breaks_off: bool, status: int
) -> None:
    monkeypatch.setattr(bodies, "MIN_SECONDS", 0.2)
    monkeypatch.setattr(bodies, "BYTES_PER_SECOND", 10**12)
    begun = [{"type": "http.request", "body": b"visitor,paid\na,1\n", "more_body": True}]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if begun:
            return begun.pop()
        if not breaks_off:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"text/csv"), (b"x-role", b"keeper")]
    await world.application(
        {"method": "POST", "path": "/visits", "query_string": b"", "headers": headers}, receive, send
    )
    assert sent[0]["status"] == status
    assert await world.rows("/visits?visitor=eq.a") == []
