"""Hostile names, operators, casts, paths, ranges, values, headers and bodies are refused or mean themselves."""

from __future__ import annotations

import json
from itertools import chain, cycle, product
from urllib.parse import quote

from tests.rest.http.conftest import World

HOSTILE = [
    "'; drop table zoo.animals; --",
    '"; drop table zoo.animals; --',
    "id) or 1=1 --",
    "id/**/or/**/1=1",
    "\\'; select pg_sleep(9); --",
    "$$; drop table zoo.animals; $$",
    "$1",
    "%24%31",
    "a\\\\'b",
    "x'||(select secret from zoo.private_notes)||'",
    "(select secret from zoo.private_notes)",
    "private_notes",
    "*",
    "a.b.c",
    "\u0000",
    "%00",
    "\ud83d\ude00",
    "{1,2,3",
    "[1,2)",
    "E'\\x27'",
    "U&'\\0027'",
    "now()",
    "pg_read_file('/etc/passwd')",
    "int) from zoo.private_notes; --",
    "\r\nX-Injected: yes",
    "a" * 5000,
    "null",
    "::text",
    "->>'x'",
]
PLACES = {
    "names": (
        "/{}",
        "/rpc/{}",
        "/rpc/add?{}=1",
        "/animals?select={}",
        "/animals?select={}:id",
        "/animals?select=id,{}(id)",
        "/animals?select=id,houses!{}(id)",
        "/animals?select=...{}(id)",
        "/animals?select=houses({})&houses.{}=eq.1",
        "/animals?{}=eq.1",
        "/animals?houses.{}=eq.1&select=houses(id)",
        "/animals?order={}",
        "/animals?order=houses({})&select=houses(id)",
        "/animals?distinct={}",
    ),
    "operators": (
        "/animals?name={}",
        "/animals?id={}.1",
        "/animals?id=not.{}.1",
        "/animals?id=eq({}).1",
        "/animals?id=is.{}",
        "/animals?or=({})",
        "/animals?or=(id.{}.1)",
        "/animals?{}.or=(id.eq.1)",
        "/animals?search=fts({}).x",
        "/animals?order=id.{}",
        "/animals?select=id.{}()",
    ),
    "casts": (
        "/animals?select=id::{}",
        "/animals?select=a:id::{}",
        "/animals?select=id::{}.max()",
        "/animals?select=id.max()::{}",
        "/animals?select=count()::{}",
        "/houses?select=facts->area::{}",
    ),
    "paths": (
        "/houses?select=facts->{}",
        "/houses?select=facts->>{}",
        "/houses?facts->>{}=eq.1",
        '/houses?facts->>"{}"=eq.1',
        "/houses?order=facts->{}",
        "/animals?select=houses(facts->{})",
    ),
    "ranges": ("/animals?limit={}", "/animals?offset={}", "/houses?open_hours=ov.{}", "/animals?houses.limit={}"),
    "values": (
        "/animals?name=eq.{}",
        "/animals?id=in.({})",
        "/animals?name=like.{}",
        "/animals?name=like(any).{{}}",
        "/animals?name=match.{}",
        "/animals?search=fts.{}",
        "/houses?tags=cs.{}",
        "/animals?or=(name.eq.{})",
        "/rpc/add?a={}&b=1",
        "/rpc/echo_text?x={}",
    ),
}
WRITES = (
    "/visits?{}=eq.1",
    "/visits?visitor=eq.{}",
    "/visits?on_conflict={}",
    "/visits?columns={}",
    "/visits?select={}",
)
HEADERS = {
    "accept": ("{}", 'application/vnd.pgrst.plan+json; for="{}"', "application/vnd.pgrst.plan; options={}"),
    "prefer": ("{}", "timezone={}", "handling=strict, max-affected={}", "count={}", "tx={}"),
    "range": ("{}", "0-{}", "{}-9"),
    "content-type": ("{}", "text/csv; {}"),
    "accept-profile": ("{}",),
    "content-profile": ("{}",),
    "cookie": ("{}", "crumb={}"),
    "if-none-match": ("{}",),
    # Where the tests take the role from that a token would name.
    "x-role": ("{}",),
}


async def test_hostile_words_do_nothing_anywhere(world: World) -> None:
    before = await world.rows("/animals?order=id")
    for place, word in product(chain.from_iterable(PLACES.values()), HOSTILE):
        path = place.replace("{}", quote(word, safe="", errors="surrogatepass"))
        answer = await world.get(path)
        assert answer.status_code < 500, (path, answer.text)
        assert "secret" not in answer.text or answer.status_code >= 400, path
        assert "x-injected" not in answer.headers
    assert await world.rows("/animals?order=id") == before


async def test_hostile_writes_change_what_their_filters_say_and_no_more(world: World) -> None:
    row = json.dumps({"visitor": "known", "paid": 1})
    assert (await world.request("POST", "/visits", row, role="keeper")).status_code == 201
    undone = {"role": "keeper", "prefer": "tx=rollback"}
    for (place, word), method in zip(product(WRITES, HOSTILE), cycle(("POST", "PATCH", "DELETE")), strict=False):
        path = place.replace("{}", quote(word, safe="", errors="surrogatepass"))
        answer = await world.request(method, path, row if method != "DELETE" else None, **undone)
        assert answer.status_code < 500, (method, path, answer.text)
    assert len(await world.rows("/visits?visitor=eq.known")) == 1
    assert len(await world.rows("/animals")) == 6


async def test_hostile_headers_and_bodies_do_nothing(world: World) -> None:
    words = [word for word in HOSTILE if "\r" not in word and "\0" not in word and word.isprintable()]
    for header, shapes in HEADERS.items():
        role = [] if header == "x-role" else [(b"x-role", b"keeper")]
        for (shape, word), method in zip(product(shapes, words), cycle(("GET", "POST", "GET")), strict=False):
            raw = shape.replace("{}", word).encode("utf-8", "surrogatepass")
            answer = await world.http.request(method, "/visits", content=b"[]", headers=[(header.encode(), raw), *role])
            assert answer.status_code < 500, (header, shape, word, answer.text)
    for word in HOSTILE:
        documents: list[object] = [{word: 1}, [{word: word}], {"visitor": word}]
        for body in [*map(json.dumps, documents), word]:
            for path in (
                "/visits",
                f"/visits?columns={quote(word, safe='', errors='surrogatepass')}",
                "/rpc/echo_json",
            ):
                answer = await world.request("POST", path, body.encode("utf-8", "surrogatepass"), role="keeper")
                assert answer.status_code < 500, (path, body, answer.text)
    assert len(await world.rows("/animals")) == 6
