"""Function calls: arguments, overloads, results of every shape, media types, transactions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rest.http.conftest import World

GET: dict[str, Any] = {
    "/rpc/add?a=1&b=2": 3,
    "/rpc/with_default?a=2": 20,
    "/rpc/with_default?a=2&b=3": 6,
    "/rpc/overloaded": "none",
    "/rpc/overloaded?a=1": "a",
    "/rpc/overloaded?a=1&b=2": "ab",
    "/rpc/summed": 0,
    "/rpc/summed?v=1": 1,
    "/rpc/summed?v=1&v=2&v=3": 6,
    "/rpc/add?a=9&a=1&b=2": 3,
    "/rpc/one_animal?wanted=1&select=id,name": {"id": 1, "name": "Koko"},
    "/rpc/animals_in?house=1&weight=gt.79&select=loud_name&order=id": [{"loud_name": "KOKO"}, {"loud_name": "KIKI"}],
    "/rpc/numbers?upto=3": [1, 2, 3],
    "/rpc/pairs?select=word&n=gt.1": [{"word": "two"}, {"word": "three"}],
    "/rpc/pairs?select=total:n.sum()": [{"total": 6}],
    "/rpc/both?y=hi": {"x": 1, "y": "hi!"},
    "/rpc/takes_array?v={a,b}": ["a", "b"],
    "/rpc/slow_setting": "7s",
}


@pytest.mark.parametrize("path", GET)
async def test_get_calls_with_arguments_and_filters(zoo: World, path: str) -> None:
    assert await zoo.rows(path) == GET[path]


POST: list[tuple[str, object, dict[str, str], Any]] = [
    ("/rpc/add", {"a": 1, "b": 2}, {}, 3),
    ("/rpc/add", [{"a": 1, "b": 2}, {"a": 9, "b": 9}], {}, 3),
    ("/rpc/add?columns=a,b", {"a": 1, "b": 2, "c": 3}, {}, 3),
    ("/rpc/add", "a=1&b=5", {"content-type": "application/x-www-form-urlencoded"}, 6),
    ("/rpc/summed", {"v": [1, 2]}, {}, 3),
    ("/rpc/summed", "v=1&v=5", {"content-type": "application/x-www-form-urlencoded"}, 6),
    ("/rpc/overloaded", "", {}, "none"),
    ("/rpc/echo_json", {"x": [1, 2]}, {}, {"x": [1, 2]}),
    ("/rpc/echo_json", [{"x": 1}], {}, [{"x": 1}]),
    ("/rpc/named_json", {"doc": {"a": 1}}, {}, {"a": 1}),
    ("/rpc/echo_text", "plain", {"content-type": "text/plain"}, "plain"),
    ("/rpc/echo_bytes", b"\x00\xff", {"content-type": "application/octet-stream"}, "\\x00ff"),
    ("/rpc/takes_array", {"v": ["a", "b,c"]}, {}, ["a", "b,c"]),
    ("/rpc/animals_in?select=id&order=id&limit=1", {"house": 1}, {}, [{"id": 1}]),
]


@pytest.mark.parametrize(("path", "body", "headers", "expected"), POST)
async def test_post_calls_with_a_body(
    zoo: World, path: str, body: object, headers: dict[str, str], expected: Any
) -> None:
    answer = await zoo.request("POST", path, body, **headers)
    assert (answer.status_code, answer.json()) == (200, expected)


async def test_void_is_204(zoo: World) -> None:
    answer = await zoo.request("POST", "/rpc/nothing", {})
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers


async def test_calls_are_counted_and_paged(zoo: World) -> None:
    answer = await zoo.get("/rpc/animals_in?house=1&limit=1&offset=1&order=id&select=id", prefer="count=exact")
    assert (answer.status_code, answer.headers["content-range"]) == (206, "1-1/3")
    ranged = await zoo.get("/rpc/numbers?upto=9", range="0-2", prefer="count=exact")
    assert (ranged.json(), ranged.headers["content-range"]) == ([1, 2, 3], "0-2/9")
    ignored = await zoo.request("POST", "/rpc/numbers", {"upto": 3}, range="0-0")
    assert ignored.headers["content-range"] == "0-2/*"
    scalar = await zoo.get("/rpc/add?a=1&b=2", prefer="count=exact")
    assert scalar.headers["content-range"] == "0-0/1"
    head = await zoo.request("HEAD", "/rpc/numbers?upto=3", prefer="count=exact")
    assert (head.content, head.headers["content-range"]) == (b"", "0-2/3")


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        (
            "GET",
            "/rpc/add?a=1",
            None,
            {
                "code": "PGRST202",
                "details": "Searched for the function zoo.add with parameter a, "
                "but no matches were found in the schema cache.",
                "hint": "Perhaps you meant to call the function zoo.add(a, b)",
                "message": "Could not find the function zoo.add(a) in the schema cache",
            },
        ),
        (
            "POST",
            "/rpc/overloadd",
            {},
            {
                "code": "PGRST202",
                "details": "Searched for the function zoo.overloadd without parameters or with a single unnamed "
                "json/jsonb parameter, but no matches were found in the schema cache.",
                "hint": "Perhaps you meant to call the function zoo.overloaded",
                "message": "Could not find the function zoo.overloadd without parameters in the schema cache",
            },
        ),
        (
            "GET",
            "/rpc/ambiguous?a=1",
            None,
            {
                "code": "PGRST203",
                "details": None,
                "hint": "Try renaming the parameters or the function itself in the database "
                "so function overloading can be resolved",
                "message": "Could not choose the best candidate function between: "
                "zoo.ambiguous(a => integer), zoo.ambiguous(a => text)",
            },
        ),
    ],
)
async def test_a_call_that_fits_no_function_is_explained(
    zoo: World, method: str, path: str, body: object, expected: dict[str, object]
) -> None:
    answer = await zoo.request(method, path, body)
    assert answer.json() == expected


async def test_a_text_body_looks_for_a_text_parameter(zoo: World) -> None:
    answer = await zoo.request("POST", "/rpc/add", "x", content_type="text/plain")
    assert answer.json()["details"] == (
        "Searched for the function zoo.add with a single unnamed text parameter, "
        "but no matches were found in the schema cache."
    )
    assert answer.json()["hint"] is None


async def test_functions_see_the_request(zoo: World) -> None:
    answer = await zoo.request("POST", "/rpc/who", {}, x_agent="me", cookie="a=b; crumb=choc", role="keeper")
    assert answer.json() == {
        "role": "keeper",
        "claims": {"role": "keeper"},
        "method": "POST",
        "path": "/rpc/who",
        "agent": "me",
        "cookie": "choc",
        "setting": "live and let live",
    }


async def test_get_never_writes(world: World) -> None:
    answer = await world.get("/rpc/visit?name=x", role="keeper")
    assert (answer.status_code, answer.json()["code"]) == (405, "25006")
    written = await world.request("POST", "/rpc/visit", {"name": "x"}, role="keeper")
    assert written.json()["visitor"] == "x"


async def test_what_a_call_did_too_much_is_undone(world: World) -> None:
    strict = {"prefer": "handling=strict, max-affected=1"}
    answer = await world.request("POST", "/rpc/visits_by", {"names": ["p", "q"]}, role="keeper", **strict)
    assert answer.json()["code"] == "PGRST124"
    single = {"accept": "application/vnd.pgrst.object+json"}
    assert (
        await world.request("POST", "/rpc/visits_by", {"names": ["p", "q"]}, role="keeper", **single)
    ).status_code == 406
    assert await world.rows("/visits") == []
    one = await world.request("POST", "/rpc/visit", {"name": "x"}, role="keeper", **strict)
    assert one.json()["code"] == "PGRST128"


async def test_a_function_may_answer_in_its_own_type(zoo: World) -> None:
    page = await zoo.get("/rpc/page", accept="text/html")
    assert (page.text, page.headers["content-type"]) == ("<p>zoo</p>", "text/html")
    picture = await zoo.get("/rpc/picture", accept="image/png, */*")
    assert (picture.content, picture.headers["content-type"]) == (b"\x89PNG", "image/png")
    assert (await zoo.get("/rpc/page", accept="image/png")).status_code == 406


async def test_a_function_may_choose_status_and_headers(zoo: World) -> None:
    answer = await zoo.request("POST", "/rpc/with_headers", {"status": "202"})
    assert (answer.status_code, answer.headers["x-zoo"], answer.headers["cache-control"]) == (202, "yes", "no-cache")
    for body, code in (
        ({"headers": "bad"}, "PGRST111"),
        ({"headers": '[{"a":1}]'}, "PGRST111"),
        ({"status": "x"}, "PGRST112"),
    ):
        refused = await zoo.request("POST", "/rpc/with_headers", body)
        assert (refused.status_code, refused.json()["code"]) == (500, code)


async def test_raised_codes_become_answers(zoo: World) -> None:
    teapot = await zoo.request("POST", "/rpc/teapot", {})
    assert teapot.status_code == 418
    assert teapot.json() == {"code": "PT418", "details": "short", "hint": "and stout", "message": "I am a teapot"}
    own = await zoo.request("POST", "/rpc/own_answer", {})
    assert (own.status_code, own.headers["x-header"]) == (332, "str")
    assert own.json() == {"code": "123", "details": "DEF", "hint": "XYZ", "message": "ABC"}
    broken = await zoo.request("POST", "/rpc/own_answer", {"broken": True})
    assert (broken.status_code, broken.json()["code"]) == (500, "PGRST121")


@pytest.mark.parametrize(
    ("kind", "role", "status", "code"),
    [
        ("raise", "visitor", 400, "P0001"),
        ("unique", "keeper", 409, "23505"),
        ("foreign", "keeper", 409, "23503"),
        ("zero", "visitor", 400, "22012"),
        ("syntax", "visitor", 400, "42601"),
    ],
)
async def test_failures_inside_keep_their_code(zoo: World, kind: str, role: str, status: int, code: str) -> None:
    answer = await zoo.request("POST", "/rpc/fails", {"kind": kind}, role=role)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["proxy-status"] == f"PostgREST; error={code}"
