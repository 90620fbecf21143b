"""Whatever letters a name of the database has, the engine finds what it names."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg
import httpx
from hypothesis import example, given, settings
from hypothesis import strategies as st

from src.database.connections import Connections
from src.rest.asgi.application import RestApplication
from src.rest.asgi.information import Information
from src.rest.catalog.introspection import Exposure, read_catalog
from src.rest.catalog.loader import CatalogLoader
from src.rest.catalog.model import Catalog, Name
from src.rest.ports import Identity
from src.rest.protocol.request import Configuration
from src.rest.run.binding import Binder
from src.rest.run.engine import Engine
from src.rest.run.runners import Runner
from src.rest.run.sessions import AuthenticatorSessions
from src.rest.server.stored_settings import stored_settings
from tests.rest.http.conftest import World, as_gate, serving_world
from tests.support.postgres import Server, sql_name
from tests.support.processes import ecotrips
from tests.support.standalone import execute, knows, standalone

MAX_NAME_LENGTH = 63
# No slash: it ends a part of a path, percent-encoded or not. Nor is a name `.` or `..`, which clients take out, or
# `*`, which is every column to PostgREST.
LETTERS = "aZ9_ .,:;!?'\"\\`~@#$%^&*()[]{}<>|+=-\t\n\u00e9\u0637\u4e2d\U0001f984"
WHAT = [
    *("login", "role", "schema", "aside", "parent", "child", "between", "note", "key", "value", "of", "kind", "label"),
    *("view", "function", "argument", "computed", "before", "sequence", "constraint"),
]
PASSWORD = "secret"


class Names(dict[str, str]):
    """Names by what they name; `sql` is each in double quotes."""

    @property
    def sql(self) -> dict[str, str]:
        return {what: sql_name(name) for what, name in self.items()}


def cut(name: str) -> str:
    """What PostgreSQL keeps of a name."""
    return name.encode()[:MAX_NAME_LENGTH].decode(errors="ignore")


def allowed(names: list[str]) -> bool:
    return not any(name.startswith("pg_") or name in {"", ".", "..", "*", "none", "public"} for name in names)


def made_of(parts: list[str]) -> Names:
    return Names(zip(WHAT, parts, strict=True))


names = (
    st.lists(
        st.text(LETTERS, min_size=1, max_size=MAX_NAME_LENGTH).map(cut),
        min_size=len(WHAT),
        max_size=len(WHAT),
        unique=True,
    )
    .filter(allowed)
    .map(made_of)
)

WORLD = """
create role {login} login noinherit password '{password}';
create role {role} nologin;
grant {role} to {login};
alter role {role} set statement_timeout = '54321ms';
create schema {schema};
create schema {aside};
create type {schema}.{kind} as enum ({label_text});
create sequence {aside}.{sequence};
create table {schema}.{parent} ({key} int primary key default nextval('{sequence_text}'), {value} {schema}.{kind});
create table {schema}.{child} (
  {key} int primary key, {value} text not null default {label_text},
  {of} int constraint {constraint} references {schema}.{parent});
create table {schema}.{between} (
  {parent} int references {schema}.{parent}, {child} int references {schema}.{child}, primary key ({parent}, {child}));
create view {schema}.{view} as select {key} as {key}, {value} as {note}, {of} from {schema}.{child};
create function {schema}.{function}({argument} text) returns text language sql stable
  return {argument} || current_user || current_setting('test.before');
create function {schema}.{computed}({schema}.{child}) returns text language sql stable return $1.{value} || '!';
create function {schema}.{before}() returns void language sql as $$ select set_config('test.before', '!', true) $$;
grant usage on schema {schema}, {aside} to {role};
grant all on all tables in schema {schema} to {role};
grant all on all sequences in schema {aside} to {role};
insert into {schema}.{parent} values (default, {label_text});
insert into {schema}.{child} values (1, 'one', 1), (2, 'two', null);
insert into {schema}.{between} values (1, 2);
"""


def text(value: str) -> str:
    """A text constant."""
    return "'" + value.replace("'", "''") + "'"


def field(name: str) -> str:
    """A name in a query string."""
    return quote('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"', safe="")


def login_url(dsn: str, login: str, password: str) -> str:
    parts = urlsplit(dsn)
    netloc = f"{quote(login, safe='')}:{password}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=netloc))


@asynccontextmanager
async def serving_names(dsn: str, given: Names) -> AsyncIterator[httpx.AsyncClient]:
    configuration = Configuration(
        schemas=(given["aside"], given["schema"]),
        extra_search_path=(given["aside"],),
        anonymous_role=given["role"],
        pre_request=Name(given["schema"], given["before"]),
    )
    pool = Connections(login_url(dsn, given["login"], PASSWORD), 1)
    sessions = AuthenticatorSessions(pool, configuration, Catalog())
    engine = Engine(configuration, Runner(sessions, Binder(None), configuration))
    loader = CatalogLoader(
        pool, Exposure(configuration.schemas, configuration.extra_search_path), engine.use, sessions.use
    )
    await loader.read()

    def identity(_headers: object) -> Identity:
        return Identity(given["role"], json.dumps({"role": given["role"]}))

    application = RestApplication(engine, configuration, identity, Information(engine, configuration))
    transport = httpx.ASGITransport(cast("Any", application), raise_app_exceptions=True)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://names") as client:
            yield client
    finally:
        await pool.close()


async def check(server: Server, given: Names) -> None:
    dsn = await server.create()
    try:
        admin = await asyncpg.connect(dsn)
        qualified = f"{given.sql['aside']}.{given.sql['sequence']}".replace("'", "''")
        await admin.execute(
            WORLD.format(**given.sql, password=PASSWORD, label_text=text(given["label"]), sequence_text=qualified)
        )
        await admin.close()
        async with serving_names(dsn, given) as client:
            await ask(client, given)
    finally:
        await server.drop(dsn)
        for role in ("login", "role"):
            await server.execute(f"drop role if exists {given.sql[role]}")


async def ask(client: httpx.AsyncClient, given: Names) -> None:
    key, value, of, parent = (field(given[what]) for what in ("key", "value", "of", "parent"))

    async def asked(method: str, path: str, body: object = None, prefer: str = "return=representation") -> Any:
        profile = b"content-profile" if method in {"POST", "PATCH", "PUT", "DELETE"} else b"accept-profile"
        headers = [(profile, given["schema"].encode()), (b"prefer", prefer.encode())]
        answer = await client.request(method, path, content=None if body is None else json.dumps(body), headers=headers)
        assert answer.status_code < 300, (method, unquote(path), answer.text, dict(given))
        return answer.json() if answer.content else answer.headers

    def at(what: str) -> str:
        return "/" + quote(given[what], safe="")

    row = {given["key"]: 1, given["value"]: "one", given["of"]: 1}
    assert await asked("GET", f"{at('child')}?{key}=eq.1") == [row]
    assert await asked("GET", f"{at('child')}?select=a:{value},b:{field(given['computed'])}&order={value}.desc") == [
        {"a": "two", "b": "two!"},
        {"a": "one", "b": "one!"},
    ]
    hinted = f"{parent}!{field(given['constraint'])}"
    assert await asked(
        "GET", f"{at('child')}?select={key},{hinted}({value})&{hinted[: len(parent)]}.{key}=eq.1&{key}=eq.1"
    ) == [{given["key"]: 1, given["parent"]: {given["value"]: given["label"]}}]
    assert await asked(
        "GET", f"{at('child')}?select={key},x:{parent}!{field(given['between'])}({key})&order={key}"
    ) == [
        {given["key"]: 1, "x": []},
        {given["key"]: 2, "x": [{given["key"]: 1}]},
    ]
    assert await asked("GET", f"{at('view')}?select={field(given['note'])},{hinted}({key})&{parent}=not.is.null") == [
        {given["note"]: "one", given["parent"]: {given["key"]: 1}}
    ]
    assert await asked("GET", f"{at('parent')}?{value}=eq.{quote(given['label'], safe='')}") == [
        {given["key"]: 1, given["value"]: given["label"]}
    ]
    new = {given["key"]: 3, given["of"]: None}
    defaulted = await asked(
        "POST", f"{at('child')}?columns={key},{value},{of}", new, "return=representation,missing=default"
    )
    assert defaulted == [{**new, given["value"]: given["label"]}]
    merged = await asked(
        "POST",
        f"{at('child')}?on_conflict={key}",
        {**row, given["value"]: "1"},
        "return=representation,resolution=merge-duplicates",
    )
    assert merged == [{**row, given["value"]: "1"}]
    made = await asked(
        "POST",
        f"{at('parent')}?columns={key},{value}",
        {given["value"]: given["label"]},
        "return=representation,missing=default",
    )
    assert made == [{given["key"]: 2, given["value"]: given["label"]}]
    located = await asked("POST", at("child"), {**row, given["key"]: 4}, "return=headers-only")
    assert await asked("GET", located["location"]) == [{**row, given["key"]: 4}]
    assert await asked("PATCH", f"{at('child')}?{key}=eq.4", {given["value"]: "four"}) == [
        {**row, given["key"]: 4, given["value"]: "four"}
    ]
    assert await asked("DELETE", f"{at('child')}?{key}=eq.4&select={value}") == [{given["value"]: "four"}]
    called = await asked("POST", f"/rpc{at('function')}", {given["argument"]: "as "})
    assert called == f"as {given['role']}!"
    assert await asked("GET", f"/rpc{at('function')}?{field(given['argument'])}=as%20") == called
    document = await asked("GET", "/")
    assert f"/{given['child']}" in document["paths"]
    assert f"/rpc/{given['function']}" in document["paths"]


def test_every_name_of_a_database_is_found(server: Server) -> None:
    plain = made_of([f"Odd {what}" for what in WHAT])
    longest = made_of([cut(f"{number:02}".ljust(MAX_NAME_LENGTH, "\u00e9")) for number in range(len(WHAT))])
    alike = made_of([f"{number:02}".rjust(MAX_NAME_LENGTH, "a") for number in range(len(WHAT))])
    with asyncio.Runner() as runner:

        @given(given=names)
        @example(given=plain)
        @example(given=longest)
        @example(given=alike)
        @settings(max_examples=20, deadline=None)
        def found(given: Names) -> None:
            runner.run(check(server, given))

        found()


async def test_tables_columns_and_what_is_made_of_them_may_share_a_name(world: World) -> None:
    connection = await asyncpg.connect(world.dsn)
    await connection.execute("""
        create table zoo.state (state int primary key, next int references zoo.state);
        create table zoo.state_1 (id int primary key, state int references zoo.state);
        create function zoo.loud(zoo.state) returns text language sql stable return 'state ' || $1.state;
        create function zoo.ones(zoo.state) returns setof zoo.state_1 language sql stable rows 1
          return (select (s.id, s.state)::zoo.state_1 from zoo.state_1 s where s.state = $1.state);
        insert into zoo.state values (1, null), (2, 1);
        insert into zoo.state_1 values (1, 2), (2, null);
        grant select on zoo.state, zoo.state_1 to visitor;
    """)
    await connection.close()
    async with serving_world(world.dsn) as served:
        assert await served.rows("/state?select=loud,state&order=state") == [
            {"loud": "state 1", "state": 1},
            {"loud": "state 2", "state": 2},
        ]
        assert await served.rows("/state?select=state,ones(id)&state=eq.2") == [{"state": 2, "ones": {"id": 1}}]
        assert await served.rows("/state_1?select=id,state(state)&order=id") == [
            {"id": 1, "state": {"state": 2}},
            {"id": 2, "state": None},
        ]
        for name in ("hh", "_postgrest_t", "pgrst_source"):
            assert await served.rows(f"/state?select={name}:state&order=state") == [{name: 1}, {name: 2}]
            csv = await served.get(f"/state?select={name}:next&order=state", accept="text/csv", prefer="count=exact")
            assert csv.text == f"{name}\n\n1"
            assert csv.headers["content-range"] == "0-1/2"


async def test_a_login_role_may_have_any_name(world_database: str, tmp_path: Path) -> None:
    """With settings kept in the database, of its own and of its callers' roles."""
    login = 'Gate "Keeper"'
    database, role = urlsplit(world_database).path[1:], sql_name(login)
    admin = await asyncpg.connect(world_database)
    await admin.execute(f"""
        create role {role} login noinherit password 'secret';
        grant visitor to {role};
        alter role {role} in database "{database}" set pgrst.db_max_rows = 2;
    """)
    try:
        with standalone(world_database, tmp_path, PGRST_DB_URI=login_url(world_database, login, "secret")) as served:
            assert len(served.http.get("/animals").json()) == 2
    finally:
        await admin.execute(f"drop owned by {role}; drop role {role}")
        await admin.close()


async def test_what_is_read_is_the_logins_whatever_role_and_path_a_connection_has(zoo_database: str) -> None:
    connection = await asyncpg.connect(as_gate(zoo_database))
    exposure = Exposure(("zoo",), ("aside",))
    before = await read_catalog(connection, exposure)
    await connection.execute("set role visitor; set search_path = zoo, aside")
    assert await read_catalog(connection, exposure) == before
    assert before.tables[Name("zoo", "animals")].columns["mood"].shown_type == "zoo.mood"
    await connection.close()


async def test_settings_are_the_logins_whatever_role_a_connection_has(world_database: str) -> None:
    admin = await asyncpg.connect(world_database)
    database = urlsplit(world_database).path[1:]
    await admin.execute(f'alter role gate in database "{database}" set pgrst.db_max_rows = 3')
    await admin.close()
    connection = await asyncpg.connect(as_gate(world_database))
    await connection.execute("set role visitor")
    assert await stored_settings(connection, None, frozenset()) == {"db-max-rows": "3"}
    await connection.close()


async def test_databases_channels_and_functions_of_settings_may_have_any_name(
    server: Server, world_template: str, tmp_path: Path
) -> None:
    """The database's own name in the DSN, and what is called before anything else."""
    name = 'Odd "zoo" %41+b'
    await server.execute(f"create database {sql_name(name)} template {sql_name(world_template)} strategy file_copy")
    dsn = server.url(quote(name, safe=""))
    await execute(
        dsn,
        """
        create schema "Set, up";
        grant usage on schema "Set, up" to gate, visitor;
        create function "Set, up"."before all"() returns void language sql
          as $$ select set_config('pgrst.db_max_rows', '2', true) $$;
        create function "Set, up"."the root"() returns text language sql as $$ select 'roots' $$;
        """,
    )
    given = {
        "PGRST_DB_SCHEMAS": 'zoo,"Set, up"',
        "PGRST_DB_PRE_CONFIG": "Set, up.before all",
        "PGRST_DB_CHANNEL": 'Odd "channel"',
    }
    with standalone(dsn, tmp_path, **given) as served:
        assert len(served.http.get("/animals").json()) == 2
        assert served.http.post("/rpc/the%20root", headers={"content-profile": "Set, up"}).json() == "roots"
        await execute(dsn, 'create table zoo.fresh (id int); notify "Odd ""channel"""')
        served.wait(lambda: knows(served, "fresh"))
    assert ecotrips(tmp_path, "db", "psql", "-Atc", "select current_database()", DATABASE_URL=dsn).stdout == f"{name}\n"
    await server.execute(f"drop database {sql_name(name)} with (force)")
