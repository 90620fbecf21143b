"""Two ways to act as the caller: a login role for each role, or PostgREST's single authenticator."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache

import asyncpg

from src.database.connections import MAX_STATEMENT_SIZE, Connections, Source
from src.database.errors import BROKEN
from src.database.pipeline import Pipeline
from src.database.standby import Standby
from src.rest.catalog.model import Catalog, Name
from src.rest.catalog.routines import ISOLATION
from src.rest.ports import Identity
from src.rest.protocol.prepared import ResultSet
from src.rest.protocol.request import Configuration, Request
from src.rest.protocol.request_settings import of_request
from src.rest.run.results import result_of, result_of_texts
from src.rest.run.runners import LocalSettings

Connection = asyncpg.Connection
Pair = tuple[str, str]


class RoleSessions:
    """A pool for each role, whose connections are that role from the start.

    `logins` are the names of those roles in the database; `switches` is request.switches as JSON. `standbys` is where
    reads go if there is one; if there is none, those that proved to be quick go to `pipelines`.
    """

    in_one_statement = True

    def __init__(
        self,
        pools: Mapping[str, Source],
        standbys: Mapping[str, Standby],
        pipelines: Mapping[str, Pipeline],
        logins: Mapping[str, str],
        switches: str,
        anonymous_role: str | None,
    ) -> None:
        self._pools = pools
        self._standbys = standbys
        self._pipelines = pipelines
        self._logins = logins
        self._switches = switches
        self._anonymous_role = anonymous_role

    def is_anonymous(self, identity: Identity) -> bool:
        return identity.role == self._anonymous_role

    def role(self, identity: Identity) -> str:
        return self._logins[identity.role]

    async def row(self, identity: Identity, statement: str, arguments: list[object]) -> ResultSet:
        async with self._pools[identity.role].acquire() as connection:
            return result_of(await connection.fetchrow(statement, *arguments))

    async def value(self, identity: Identity, question: str, arguments: list[object]) -> object:
        async with self._pools[identity.role].acquire() as connection:
            return await connection.fetchval(question, None, *arguments)

    async def read(self, identity: Identity, statement: str, arguments: list[object]) -> ResultSet:
        standby = self._standbys.get(identity.role)
        if standby is not None:
            row = await standby.row(statement, *arguments)
            return result_of(row) if row is not None else await self.row(identity, statement, arguments)
        pipeline = self._pipelines.get(identity.role)
        # Statements of clients are not cached there either, as their number is unbounded.
        if pipeline is None or len(statement) > MAX_STATEMENT_SIZE:
            return await self.row(identity, statement, arguments)
        answer = pipeline.ask(statement, arguments)
        if answer is not None and (texts := await answer) is not None:
            return result_of_texts(texts)
        async with self._pools[identity.role].acquire() as connection:
            began = time.monotonic()
            row = await connection.fetchrow(statement, *arguments)
            if row is not None and isinstance(row["body"], str):
                pipeline.observe_pooled(statement, time.monotonic() - began)
        return result_of(row)

    @asynccontextmanager
    async def transaction(
        self, request: Request, identity: Identity, settings: LocalSettings
    ) -> AsyncIterator[Connection]:
        async with self._pools[identity.role].acquire() as connection, _transaction(connection, settings, None):
            pairs = [
                ("request.jwt.claims", identity.claims),
                ("request.id", identity.request_id),
                ("request.switches", self._switches),
                *of_request(request),
                *_of_settings(settings),
            ]
            await _set(connection, pairs)
            yield connection


class AuthenticatorSessions:
    """One pool of the authenticator role, which becomes the caller's role for each transaction.

    `catalog` gives the settings that roles carry.
    """

    in_one_statement = False

    def __init__(self, pool: Connections, configuration: Configuration, catalog: Catalog) -> None:
        self._pool = pool
        self._configuration = configuration
        self._catalog = catalog

    def use(self, catalog: Catalog) -> None:
        """Take the settings of roles from this catalog."""
        self._catalog = catalog

    def is_anonymous(self, identity: Identity) -> bool:
        return identity.role == self._configuration.anonymous_role

    def role(self, identity: Identity) -> str:
        return identity.role

    async def row(self, identity: Identity, statement: str, arguments: list[object]) -> ResultSet:
        """Never called: the role is only set within a transaction."""
        raise AssertionError(identity.role, statement, arguments)

    read = row

    async def value(self, identity: Identity, question: str, arguments: list[object]) -> object:
        async with self._pool.acquire() as connection:
            return await connection.fetchval(question, identity.role, *arguments)

    @asynccontextmanager
    async def transaction(
        self, request: Request, identity: Identity, settings: LocalSettings
    ) -> AsyncIterator[Connection]:
        catalog, configuration = self._catalog, self._configuration
        of_role = catalog.role_settings.get(identity.role, ())
        isolation = dict(of_role).get(ISOLATION)
        path = ", ".join(_quoted(schema) for schema in (settings.schema, *configuration.extra_search_path))
        pairs = [
            ("search_path", path),
            # Settings are made as the authenticator, whose rights count for them, and not as the caller's role.
            *([("role", "none")] if of_role else []),
            *(pair for pair in of_role if pair[0] != ISOLATION),
            ("role", identity.role),
            ("request.jwt.claims", identity.claims),
            *of_request(request),
            *_of_settings(settings),
            *configuration.app_settings,
        ]
        async with self._pool.acquire() as connection, _transaction(connection, settings, isolation):
            await _set(connection, pairs)
            if configuration.pre_request is not None:
                await connection.execute(f"select {_function(configuration.pre_request)}()")
            yield connection


@asynccontextmanager
async def _transaction(connection: Connection, settings: LocalSettings, isolation: str | None) -> AsyncIterator[None]:
    level = (settings.isolation or isolation or "").lower()
    begin = "BEGIN"
    if level in ("repeatable read", "serializable", "read uncommitted"):
        begin += f" ISOLATION LEVEL {level.upper()}"
    await connection.execute(f"{begin} READ ONLY" if settings.read_only else begin)
    try:
        yield
    except BROKEN:
        connection.terminate()
        raise
    except Exception:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise
    except BaseException:
        # A cancelled statement leaves the connection in an unknown state.
        connection.terminate()
        raise
    await connection.execute("COMMIT")


async def _set(connection: Connection, pairs: list[Pair]) -> None:
    arguments = [text for pair in pairs for text in pair]
    await connection.fetchrow(_set_statement(len(pairs)), *arguments)


@lru_cache(64)
def _set_statement(count: int) -> str:
    calls = (f"set_config(${2 * position + 1}, ${2 * position + 2}, true)" for position in range(count))
    return f"select {', '.join(calls)}"


def _of_settings(settings: LocalSettings) -> list[Pair]:
    timezone = [("timezone", settings.timezone)] if settings.timezone is not None else []
    return [*timezone, *settings.of_function]


def _function(name: Name) -> str:
    return f"{_quoted(name.schema)}.{_quoted(name.name)}" if name.schema else _quoted(name.name)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
