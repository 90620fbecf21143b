"""Whatever is asked becomes one statement over the plan's own tables, or a refusal; never anything else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote, unquote

import asyncpg
import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from src.database.connections import Connections
from src.rest.catalog.introspection import Exposure, read_catalog
from src.rest.catalog.model import Catalog
from src.rest.errors import RestError
from src.rest.ports import Identity
from src.rest.protocol.reading import read
from src.rest.protocol.request import Configuration, Request
from src.rest.run.binding import Binder
from src.rest.run.engine import Engine
from src.rest.sql.preparation import Preparation
from tests.rest.http.conftest import CONFIGURATION, serving_world, world_template  # noqa: F401 - a fixture
from tests.support.postgres import Server, sql_name

RELATIONS = {
    "animals": ["id", "name", "kind", "mood", "weight", "born", "search", "loud_name"],
    "houses": ["id", "name", "tags", "facts->area", "facts->>area", "open_hours", "built"],
    "keepers": ["id", "name", "boss_id"],
    "cages": ["house_id", "number", "size"],
    "odd; name": ['":id"', '"a.b"', "طاولة", "$dollar"],
    "big_houses": ["id", "title", "tags"],
}
WHOLE = "*"
# What each embed joins: the columns of its own table first, where `*` is a function over a whole row.
EMBEDS = {
    "animals": {
        "houses": {"houses": "id", "animals": "house_id"},
        "animals": {"animals": "id parent_id"},
        "parent_id": {"animals": "id parent_id"},
        "keepers!keeping": {"keepers": "id", "keeping": "keeper_id animal_id", "animals": "id"},
        "home": {"houses": WHOLE, "animals": WHOLE},
    },
    "houses": {
        "animals": {"animals": "house_id", "houses": "id"},
        "countries": {"countries": "id", "houses": "country_id"},
        "house_plans": {"house_plans": "house_id", "houses": "id"},
        "cages": {"cages": "house_id", "houses": "id"},
        "heavy_animals": {"animals": WHOLE, "houses": WHOLE},
        "tours!tours_start": {"tours": "start_house_id", "houses": "id"},
    },
    "keepers": {
        "animals!keeping": {"animals": "id", "keeping": "keeper_id animal_id", "keepers": "id"},
        "boss_id": {"keepers": "id boss_id"},
    },
    "cages": {
        "houses": {"houses": "id", "cages": "house_id"},
        "cleanings": {"cleanings": "house_id cage_number", "cages": "house_id number"},
    },
    "odd; name": {},
    "big_houses": {
        "animals": {"animals": "house_id", "big_houses": "id"},
        "countries": {"countries": "id", "big_houses": "land"},
    },
}
TEXTS = {"name", "kind", "loud_name", "facts->>area", "title", '"a.b"', "طاولة", "$dollar"}
OPERATORS = ["eq", "neq", "gt", "lte", "isdistinct", "not.eq"]
OF_TEXTS = [*OPERATORS, "like", "not.ilike", "match", "eq(any)", "like(all)"]
VALUES = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=12)


class Asked(NamedTuple):
    """A request that should be answered, and the columns of each table that it may look at."""

    relation: str
    query: str
    columns: dict[str, set[str]]


def filters(names: list[str]) -> st.SearchStrategy[str]:
    plain = st.sampled_from(names).flatmap(
        lambda name: st.tuples(st.sampled_from(OF_TEXTS if name in TEXTS else OPERATORS), VALUES).map(
            lambda parts: f"{quote(name)}={parts[0]}.{quote(parts[1], safe='')}"
        )
    )
    # An array is in no list of texts.
    listable = [name for name in names if name != "tags"]
    listed = st.tuples(st.sampled_from(listable or ["-"]), st.lists(VALUES, min_size=1, max_size=3)).map(
        lambda parts: f"{quote(parts[0])}=in.({quote(','.join(map(_quoted, parts[1])), safe='')})"
    )
    null = st.sampled_from(names).map(lambda name: f"{quote(name)}=not.is.null")
    tree = st.lists(st.sampled_from(names), min_size=1, max_size=3).map(
        lambda names: (
            "or=(" + ",".join(f"{quote(name)}.is.null" for name in names) + f",and({quote(names[0])}.is.null))"
        )
    )
    return st.one_of(plain, null, tree, *([listed] if listable else []))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def reads(draw: st.DrawFn) -> Asked:
    relation = draw(st.sampled_from(sorted(RELATIONS)))
    names = draw(st.lists(st.sampled_from(RELATIONS[relation]), min_size=1, unique=True))
    columns: dict[str, set[str]] = {relation: {WHOLE if name == "loud_name" else column_of(name) for name in names}}
    items = draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True))
    chosen = (
        draw(st.lists(st.sampled_from(sorted(EMBEDS[relation])), max_size=2, unique=True)) if EMBEDS[relation] else []
    )
    for number, embed in enumerate(chosen):
        inside = draw(st.sampled_from(["*", "", "count()"]))
        join = draw(st.sampled_from(["", "!inner"]))
        spread = draw(st.booleans()) and inside == "*"
        items.append(f"...{embed}{join}(*)" if spread else f"e{number}:{embed}{join}({inside})")
        for table, joined in EMBEDS[relation][embed].items():
            columns.setdefault(table, set()).update(joined.split())
        if inside == "*":
            columns[next(iter(EMBEDS[relation][embed]))].add(WHOLE)
    parts = ["select=" + quote(",".join(items)), *draw(st.lists(filters(names), max_size=3))]
    if draw(st.booleans()):
        terms = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
        direction = draw(st.sampled_from(["", ".desc", ".asc.nullsfirst", ".nullslast"]))
        parts.append("order=" + ",".join(quote(term) + direction for term in terms))
    if draw(st.booleans()):
        parts.append(f"limit={draw(st.integers(0, 10**20))}&offset={draw(st.integers(-5, 10**20))}")
    return Asked(relation, "&".join(parts), columns)


def column_of(name: str) -> str:
    return name.partition("->")[0].strip('"')


class Zoo:
    """The world, its catalog and a connection; an object of its own, for hypothesis prints what a test is given."""

    def __init__(self, dsn: str, runner: asyncio.Runner) -> None:
        self.run = runner.run
        self.connection = runner.run(asyncpg.connect(dsn, statement_cache_size=0))
        self.catalog = runner.run(read_catalog(self.connection, Exposure(("zoo",), ("aside",))))


@pytest.fixture(scope="module")
def zoo(server: Server, world_template: str) -> Iterator[Zoo]:  # noqa: F811 - a fixture
    with asyncio.Runner() as runner:
        dsn = runner.run(server.create(world_template))
        zoo = Zoo(dsn, runner)
        yield zoo
        runner.run(zoo.connection.close())
        runner.run(server.drop(dsn))


@given(asked=reads(), count=st.sampled_from([b"", b"count=exact", b"count=planned"]), capped=st.booleans())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_read_is_one_statement_over_the_columns_it_names(
    zoo: Zoo, asked: Asked, count: bytes, *, capped: bool
) -> None:
    configuration = Configuration(
        schemas=("zoo",), extra_search_path=("aside",), aggregates=True, max_rows=5 if capped else None
    )
    job = read(configuration, Request("GET", asked.relation, asked.query.encode(), ((b"prefer", count),)))
    try:
        prepared = Preparation(zoo.catalog, configuration).prepare(job)
    except RestError as refused:
        assert refused.code in {"PGRST127", "PGRST201"}, asked  # noqa: PT017 - most plans are made, some cannot be
        return
    trees = sqlglot.parse(prepared.statement, dialect="postgres")
    assert len(trees) == 1
    assert isinstance(trees[0], exp.Select)
    arguments = Binder(configuration.max_rows).arguments(prepared.slots, job, Identity("visitor", "{}"))
    places = {int(parameter.name) for parameter in trees[0].find_all(exp.Parameter)}
    assert places == set(range(1, len(arguments) + 1))
    zoo.run(runs_with_rights_to(zoo.connection, asked.columns, prepared.statement, len(arguments)))


async def runs_with_rights_to(
    connection: asyncpg.Connection, columns: dict[str, set[str]], statement: str, arguments: int
) -> None:
    """PREPARE succeeds, wants as many values as there are arguments, and needs no right but to read these columns."""
    granted = [f"grant select {listed(names)} on zoo.{sql_name(table)} to reader" for table, names in columns.items()]
    undone = connection.transaction()
    await undone.start()
    try:
        await connection.execute(
            ";".join(["create role reader", "grant usage on schema zoo, aside to reader", *granted])
        )
        await connection.execute("set local role reader")
        assert len((await connection.prepare(statement)).get_parameters()) == arguments
        await connection.execute(f"prepare wanted as {statement}")
        given = f"({', '.join(['null'] * arguments)})" if arguments else ""
        await connection.execute(f"explain execute wanted{given}")
    finally:
        await undone.rollback()
        await connection.execute("deallocate all")


def listed(names: set[str]) -> str:
    return "" if WHOLE in names else f"({', '.join(map(sql_name, sorted(names)))})"


ALPHABET = "abcdeinoqt.,()!*:->&=_ \"'\\{}[]%+;0123456789$|~#\u00e9\u0637"
WORDS = [
    "id",
    "name",
    "eq.",
    "in.(",
    "select=",
    "or=(",
    "and=(",
    "order=",
    "houses",
    "not.",
    "like.",
    "limit=",
    "offset=",
]
WORDS += ["::", "->>", "is.null", "count()"]
PIECES = st.one_of(st.sampled_from(WORDS), st.sampled_from(ALPHABET))


@st.composite
def queries(draw: st.DrawFn) -> tuple[str, str]:
    """A relation, and any query string: of pieces, or a good one in which some are out of place."""
    if draw(st.booleans()):
        return "animals", quote("".join(draw(st.lists(PIECES, max_size=25))), safe="&=")
    asked = draw(reads())
    text = unquote(asked.query)
    for piece in draw(st.lists(PIECES, max_size=3)):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + piece + text[at + draw(st.integers(0, 2)) :]
    return asked.relation, quote(text, safe="&=")


def test_only_what_is_understood_reaches_the_database(
    server: Server,
    world_template: str,  # noqa: F811 - a fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken, take = 0, Connections.take

    async def spying(pool: Connections) -> asyncpg.Connection:
        nonlocal taken
        taken += 1
        return await take(pool)

    monkeypatch.setattr(Connections, "take", spying)

    def understood(engine: Engine, request: Request) -> bool:
        try:
            Preparation(engine.catalog or Catalog(), CONFIGURATION).prepare(read(CONFIGURATION, request))
        except RestError:
            return False
        return True

    with asyncio.Runner() as runner:
        dsn = runner.run(server.create(world_template))
        life = serving_world(dsn)
        world = runner.run(life.__aenter__())
        outcomes = set()

        @given(asked=queries())
        @settings(max_examples=100, deadline=None)
        def ask(asked: tuple[str, str]) -> None:
            relation, query = asked
            before, request = taken, Request("GET", f"/{relation}", query.encode())
            answer = runner.run(world.get(f"/{quote(relation)}?{query}"))
            assert answer.status_code < 500, answer.text
            assert taken - before == understood(world.engine, request)
            outcomes.add(taken - before)

        ask()
        assert outcomes == {0, 1}
        runner.run(life.__aexit__(None, None, None))
        runner.run(server.drop(dsn))
