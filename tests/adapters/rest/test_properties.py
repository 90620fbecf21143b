"""Whatever is asked becomes one statement over the plan's own tables, or a refusal; never anything else."""

from __future__ import annotations

import asyncio
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
