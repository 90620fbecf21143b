"""The REST engine over a foreign database (world.sql) as one authenticator, and over our own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from src.database.connections import Connections
from src.rest.asgi.application import RestApplication
from src.rest.asgi.information import Information
from src.rest.catalog.introspection import Exposure, read_catalog
from src.rest.catalog.loader import CatalogLoader
from src.rest.catalog.model import Catalog
from src.rest.ports import Identity
from src.rest.protocol.request import Configuration
from src.rest.run.binding import Binder
from src.rest.run.engine import Engine
from src.rest.run.runners import Runner
from src.rest.run.sessions import AuthenticatorSessions
from tests.support import postgres

Made = TypeVar("Made")
WORLD = Path(__file__).with_name("world.sql")
ROLES = """
do $$ begin
  if not exists (select from pg_roles where rolname = 'gate') then
    create role visitor nologin; create role keeper nologin; create role gate login noinherit password 'gate';
    grant visitor, keeper to gate;
  end if;
end $$;
"""
CONFIGURATION = Configuration(
    schemas=("zoo",),
    extra_search_path=("aside",),
    anonymous_role="visitor",
    aggregates=True,
    plans=True,
    may_end_transaction=True,
    app_settings=(("app.settings.motto", "live and let live"),),
)


@pytest.fixture(scope="session")
def world_template(server: postgres.Server) -> str:
    """A database with the foreign world, to clone."""

    async def make() -> str:
        dsn = await server.create()
        connection = await asyncpg.connect(dsn)
        await connection.execute(ROLES + WORLD.read_text())
        await connection.close()
        return urlsplit(dsn).path[1:]

    return _run(make())


def _run(made: Coroutine[Any, Any, Made]) -> Made:
    """In a thread: a test's own loop may be running already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(made)).result()


@dataclass
class World:
    """A client of the engine over the foreign database; every request may choose a role by `role`."""

    http: httpx.AsyncClient
    application: RestApplication
    engine: Engine
    dsn: str

    async def request(
        self, method: str, path: str, body: object = None, *, role: str = "visitor", **headers: str
    ) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        return await self.http.request(method, path, content=content, headers={"x-role": role, **named})

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.request("GET", path, **headers)

    async def rows(self, path: str, **headers: str) -> Any:
        answer = await self.get(path, **headers)
        assert answer.status_code < 300, answer.text
        return answer.json()


def as_gate(dsn: str) -> str:
    """The DSN of the authenticator instead of the administrator's."""
    return dsn.replace("//postgres", "//gate:gate", 1)


def by_header(headers: Mapping[bytes, bytes]) -> Identity:
    role = headers.get(b"x-role", b"visitor").decode()
    return Identity(role, json.dumps({"role": role}))


@asynccontextmanager
async def serving_world(dsn: str, catalog: Catalog | None = None, **changes: object) -> AsyncIterator[World]:
    """The engine over a clone of the world, whose catalog is read if it is not given; `changes` are of the settings."""
    configuration = replace(CONFIGURATION, **cast("Any", changes))
    pool = Connections(as_gate(dsn), 4)
    sessions = AuthenticatorSessions(pool, configuration, Catalog())
    engine = Engine(configuration, Runner(sessions, Binder(configuration.max_rows), configuration))
    exposure = Exposure(configuration.schemas, configuration.extra_search_path)
    if catalog is None:
        catalog = await CatalogLoader(pool, exposure).read()
    engine.use(catalog)
    sessions.use(catalog)
    application = RestApplication(engine, configuration, by_header, Information(engine, configuration))
    transport = httpx.ASGITransport(cast("Any", application), raise_app_exceptions=True)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://zoo") as client:
            yield World(client, application, engine, dsn)
    finally:
        await pool.close()


@pytest.fixture(scope="session")
def zoo_database(server: postgres.Server, world_template: str) -> str:
    """One clone for all tests that only read."""
    return _run(server.create(world_template))


@pytest.fixture(scope="session")
def catalog(zoo_database: str) -> Catalog:
    """What is read of a world that nobody changed."""

    async def read() -> Catalog:
        connection = await asyncpg.connect(as_gate(zoo_database))
        try:
            return await read_catalog(connection, Exposure(CONFIGURATION.schemas, CONFIGURATION.extra_search_path))
        finally:
            await connection.close()

    return _run(read())


@pytest.fixture
async def zoo(zoo_database: str, catalog: Catalog) -> AsyncIterator[World]:
    """The world as it is, for tests that only read."""
    async with serving_world(zoo_database, catalog) as served:
        yield served


@pytest.fixture
async def world_database(server: postgres.Server, world_template: str) -> AsyncIterator[str]:
    dsn = await server.create(world_template)
    yield dsn
    await server.drop(dsn)


@pytest.fixture
async def world(world_database: str, catalog: Catalog) -> AsyncIterator[World]:
    """A world of the test's own, to be changed."""
    async with serving_world(world_database, catalog) as served:
        yield served
