"""Whatever is asked becomes one statement over the plan's own tables, or a refusal; never anything else."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from urllib.parse import quote

import asyncpg
import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from src.adapters.postgres.rest.binding import Binder
from src.adapters.postgres.rest.introspection import Exposure, read_catalog
from src.adapters.postgres.rest.preparation import Preparation
from src.domain.rest.errors import RestError
from src.domain.rest.reading import read
from src.domain.rest.request import Configuration, Request
from src.ports.rest import Identity
from tests.http.rest.conftest import CONFIGURATION, World, serving_world, world_template  # noqa: F401 - a fixture
from tests.postgres import Server

RELATIONS = {
    "animals": ["id", "name", "kind", "mood", "weight", "born", "search", "loud_name"],
    "houses": ["id", "name", "tags", "facts->area", "facts->>area", "open_hours", "built"],
    "keepers": ["id", "name", "boss_id"],
    "cages": ["house_id", "number", "size"],
    "odd; name": ['":id"', '"a.b"', "طاولة", "$dollar"],
    "big_houses": ["id", "title", "tags"],
}
EMBEDS = {
    "animals": ["houses", "animals", "parent_id", "keepers!keeping", "home"],
    "houses": ["animals", "countries", "house_plans", "cages", "heavy_animals", "tours!tours_start"],
    "keepers": ["animals!keeping", "boss_id"],
    "cages": ["houses", "cleanings"],
    "odd; name": [],
    "big_houses": ["animals", "countries"],
}
OPERATORS = ["eq", "neq", "gt", "lte", "isdistinct", "not.eq", "like", "not.ilike", "match", "eq(any)", "like(all)"]
VALUES = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=12)


def filters(relation: str) -> st.SearchStrategy[str]:
    plain = st.tuples(st.sampled_from(RELATIONS[relation]), st.sampled_from(OPERATORS), VALUES).map(
        lambda parts: f"{quote(parts[0])}={parts[1]}.{quote(parts[2], safe='')}"
    )
    listed = st.tuples(st.sampled_from(RELATIONS[relation]), st.lists(VALUES, min_size=1, max_size=3)).map(
        lambda parts: f"{quote(parts[0])}=in.({quote(','.join(map(_quoted, parts[1])), safe='')})"
    )
    null = st.sampled_from(RELATIONS[relation]).map(lambda name: f"{quote(name)}=not.is.null")
    tree = st.lists(st.sampled_from(RELATIONS[relation]), min_size=1, max_size=3).map(
        lambda names: (
            "or=(" + ",".join(f"{quote(name)}.is.null" for name in names) + f",and({quote(names[0])}.is.null))"
        )
    )
    return st.one_of(plain, listed, null, tree)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def reads(draw: st.DrawFn) -> tuple[str, str]:
    """A relation and a query string that it should answer."""
    relation = draw(st.sampled_from(sorted(RELATIONS)))
    items = draw(st.lists(st.sampled_from(RELATIONS[relation]), min_size=1, max_size=4, unique=True))
    embeds = draw(st.lists(st.sampled_from(EMBEDS[relation] or ["-"]), max_size=2, unique=True))
    for number, embed in enumerate(name for name in embeds if name != "-"):
        inside = draw(st.sampled_from(["*", "", "count()"]))
        join = draw(st.sampled_from(["", "!inner"]))
        spread = draw(st.booleans()) and inside == "*"
        items.append(f"...{embed}{join}(*)" if spread else f"e{number}:{embed}{join}({inside})")
    parts = ["select=" + quote(",".join(items))]
    parts += draw(st.lists(filters(relation), max_size=3))
    if draw(st.booleans()):
        terms = draw(st.lists(st.sampled_from(RELATIONS[relation]), min_size=1, max_size=2, unique=True))
        direction = draw(st.sampled_from(["", ".desc", ".asc.nullsfirst", ".nullslast"]))
        parts.append("order=" + ",".join(quote(term) + direction for term in terms))
    if draw(st.booleans()):
        parts.append(f"limit={draw(st.integers(0, 10**20))}&offset={draw(st.integers(-5, 10**20))}")
    return relation, "&".join(parts)


class Zoo:
    """The world and its catalog; an object of its own, for hypothesis prints what a test is given."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def read(self) -> Zoo:
        connection = await asyncpg.connect(self.dsn)
        self.catalog = await read_catalog(connection, Exposure(("zoo",), ("aside",)))
        await connection.close()
        return self


@pytest.fixture(scope="module")
def zoo(server: Server, world_template: str) -> Zoo:  # noqa: F811 - a fixture
    return asyncio.run(Zoo(server.url(world_template)).read())


@given(asked=reads(), count=st.sampled_from([b"", b"count=exact", b"count=planned"]), capped=st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_read_is_one_statement_over_its_own_tables(
    zoo: Zoo, asked: tuple[str, str], count: bytes, *, capped: bool
) -> None:
    relation, query = asked
    configuration = Configuration(
        schemas=("zoo",), extra_search_path=("aside",), aggregates=True, max_rows=5 if capped else None
    )
    job = read(configuration, Request("GET", relation, query.encode(), ((b"prefer", count),)))
    try:
        prepared = Preparation(zoo.catalog, configuration).prepare(job)
    except RestError as refused:
        assert refused.code in {"PGRST127", "PGRST201"}, query  # noqa: PT017 - most plans are made, some cannot be
        return
    trees = sqlglot.parse(prepared.statement, dialect="postgres")
    assert len(trees) == 1
    tree = trees[0]
    assert isinstance(tree, exp.Select)
    own = {alias.alias for alias in tree.find_all(exp.CTE)}
    tables = {(table.db, table.name) for table in tree.find_all(exp.Table) if table.name and table.name not in own}
    assert {schema for schema, _ in tables} <= {"zoo", ""}
    assert {name for schema, name in tables if schema} <= {name.name for name in zoo.catalog.tables} | {
        name for names in EMBEDS.values() for name in names
    }
    assert len(list(tree.find_all(exp.Parameter))) >= len(prepared.slots)
    arguments = Binder(configuration.max_rows).arguments(prepared.slots, job, Identity("visitor", "{}"))
    assert len(arguments) == len(prepared.slots)
    asyncio.run(prepares(zoo.dsn, prepared.statement, len(arguments)))


async def prepares(dsn: str, statement: str, arguments: int) -> None:
    """PREPARE succeeds and wants as many values as there are arguments."""
    connection = await asyncpg.connect(dsn)
    try:
        assert len((await connection.prepare(statement)).get_parameters()) == arguments
    except asyncpg.UndefinedFunctionError:
        pass  # an operator that the column's type does not have
    except asyncpg.GroupingError:
        pass  # an order beside an aggregate
    except asyncpg.DatatypeMismatchError:
        pass
    finally:
        await connection.close()


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
PLACES = [
    "/animals?select={}",
    "/animals?select=id,{}(id)",
    "/animals?select={}:id",
    "/animals?select=id::{}",
    "/animals?select=id.{}()",
    "/houses?select=facts->{}",
    "/houses?select=facts->>{}",
    "/houses?facts->>{}=eq.1",
    '/houses?facts->>"{}"=eq.1',
    "/animals?{}=eq.1",
    "/animals?name=eq.{}",
    "/animals?name={}",
    "/animals?id=in.({})",
    "/animals?name=like.{}",
    "/animals?name=match.{}",
    "/animals?search=fts({}).x",
    "/animals?search=fts.{}",
    "/houses?tags=cs.{}",
    "/houses?open_hours=ov.{}",
    "/animals?order={}",
    "/animals?order=id.{}",
    "/animals?limit={}",
    "/animals?offset={}",
    "/animals?or=({})",
    "/animals?or=(name.eq.{})",
    "/animals?select=id,houses!{}(id)",
    "/animals?select=houses({})&houses.{}=eq.1",
    "/{}",
    "/rpc/{}",
    "/rpc/add?a={}&b=1",
    "/rpc/add?{}=1",
    "/rpc/echo_text?x={}",
]
HEADERS = ["accept", "prefer", "range", "accept-profile", "content-profile", "content-type", "cookie", "if-none-match"]


@pytest.fixture
async def world(server: Server, world_template: str) -> AsyncIterator[World]:  # noqa: F811 - a fixture
    dsn = await server.create(world_template)
    async with serving_world(dsn) as served:
        yield served
    await server.drop(dsn)


async def test_hostile_words_do_nothing_anywhere(world: World) -> None:
    before = await world.rows("/animals?order=id")
    for place in PLACES:
        for word in HOSTILE:
            path = place.replace("{}", quote(word, safe="", errors="surrogatepass"))
            answer = await world.get(path)
            assert answer.status_code < 500, (path, answer.text)
            assert "secret" not in answer.text or answer.status_code >= 400, path
            assert "x-injected" not in answer.headers
    assert await world.rows("/animals?order=id") == before


async def test_hostile_headers_and_bodies_do_nothing(world: World) -> None:
    words = [word for word in HOSTILE if "\r" not in word and "\0" not in word and word.isprintable()]
    for word in words:
        for header in HEADERS:
            raw = word.encode("utf-8", "surrogatepass")
            for method in ("GET", "POST"):
                answer = await world.http.request(
                    method, "/visits", content=b"[]", headers=[(header.encode(), raw), (b"x-role", b"keeper")]
                )
                assert answer.status_code < 500, (header, word, answer.text)
    for word in HOSTILE:
        shapes: list[object] = [{word: 1}, [{word: word}], {"visitor": word}]
        for body in [*map(json.dumps, shapes), word]:
            for path in (
                "/visits",
                f"/visits?columns={quote(word, safe='', errors='surrogatepass')}",
                "/rpc/echo_json",
            ):
                answer = await world.request("POST", path, body.encode("utf-8", "surrogatepass"), role="keeper")
                assert answer.status_code < 500, (path, body, answer.text)
    assert len(await world.rows("/animals")) == 6


async def test_random_query_strings_are_answered_without_a_fault(world: World) -> None:
    alphabet = "abcdeinoqt.,()!*:->&=_ \"'\\{}[]%+;0123456789$|~#\u00e9\u0637"
    generator = random.Random(7)
    words = [
        "id",
        "name",
        "eq.",
        "in.(",
        "select=",
        "or=(",
        "order=",
        "houses",
        "not.",
        "like.",
        "limit=",
        "&",
        "::",
        "->>",
    ]
    for _ in range(400):
        pieces = [
            generator.choice(words) if generator.random() < 0.5 else generator.choice(alphabet)
            for _ in range(generator.randint(1, 25))
        ]
        answer = await world.http.get("/animals?" + quote("".join(pieces), safe="&="))
        assert answer.status_code < 500, (pieces, answer.text)
