from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, cast
from uuid import UUID

import asyncpg
import httpx
import jwt
import msgspec
import pytest
import stripe
from hypothesis import settings
from litestar import Litestar

from src.app import create
from src.domain.context import ANONYMOUS, SERVICE, Caller, Context, Role
from src.logins import login_dsn
from src.settings.libraries import reach_this_machine_directly
from tests.support import postgres
from tests.support.endpoints import served, undescribed
from tests.support.tls import TlsServer, tls_server

OPS_USER = "22222222-2222-4222-8222-222222222222"
TRAVELLER = "33333333-3333-4333-8333-333333333333"
OTHER_TRAVELLER = "44444444-4444-4444-8444-444444444444"
ITINERARY = "11111111-1111-4111-8111-111111111111"
CHECKOUT = {"itinerary_id": ITINERARY, "amount_cents": 25000, "currency": "USD"}

settings.register_profile("thorough", max_examples=1000)
reach_this_machine_directly(os.environ)


@pytest.fixture(scope="session", autouse=True)
def _stripes_sdk_tries_again_at_once() -> None:
    stripe.HTTPClient.INITIAL_DELAY = 0


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    with postgres.disposable(os.environ.get("ECOTRIPS_TEST_POSTGRES", "auto")) as server:
        yield server


@pytest.fixture(scope="session")
def template(server: postgres.Server) -> str:
    return postgres.make_template(server)


@pytest.fixture
async def own_database(server: postgres.Server, template: str) -> AsyncIterator[str]:
    """The administrator's DSN of a fresh database with the shipped SQL and the demo data."""
    dsn = await server.create(template)
    yield dsn
    await server.drop(dsn)


@pytest.fixture
def database(own_database: str) -> str:
    """What most tests run on. A module whose tests are to run over TLS as well has one that is either."""
    return own_database


@pytest.fixture(scope="session")
def tls() -> Iterator[TlsServer]:
    with tls_server() as tls:
        yield tls


@pytest.fixture(scope="session")
def over_tls(tls: TlsServer) -> postgres.Server:
    return postgres.Server(tls.dsn())


@pytest.fixture(scope="session")
def tls_template(over_tls: postgres.Server) -> str:
    return postgres.make_template(over_tls)


@pytest.fixture
async def tls_database(over_tls: postgres.Server, tls_template: str) -> AsyncIterator[str]:
    """The same as own_database, on a server that is reached by TLS alone."""
    dsn = await over_tls.create(tls_template)
    yield dsn
    await over_tls.drop(dsn)


@pytest.fixture
async def admin(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection: sees and breaks everything."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@asynccontextmanager
async def as_role(dsn: str, role: Role, user_id: str | None = None) -> AsyncIterator[asyncpg.Connection]:
    """A connection as a caller's login role, with the claims of its token for the whole session."""
    logins = {Role.ANONYMOUS: "web_anon", Role.USER: "web_authenticated", Role.SERVICE: "web_service"}
    connection = await asyncpg.connect(login_dsn(postgres.settings(dsn), logins[role]))
    try:
        claims = f'{{"role":"{role}","sub":"{user_id}"}}' if user_id else f'{{"role":"{role}"}}'
        await connection.execute("select set_config('request.jwt.claims', $1, false)", claims)
        yield connection
    finally:
        await connection.close()


def user_context(user_id: str = TRAVELLER, request_id: str = "test") -> Context:
    return Context(Caller(Role.USER, f'{{"role":"authenticated","sub":"{user_id}"}}', UUID(user_id)), request_id)


ANONYMOUS_CONTEXT = Context(ANONYMOUS, "test")
SERVICE_CONTEXT = Context(SERVICE, "test")


def token(role: str, user_id: str | None = None, **claims: object) -> str:
    given: dict[str, object] = {"role": role}
    if user_id:
        given |= {"sub": user_id, "exp": datetime.now(UTC) + timedelta(hours=1)}
    return jwt.encode({**given, **claims}, postgres.JWT_SECRET, algorithm="HS256")


ANON_KEY = token("anon")
SERVICE_KEY = token("service_role")


@dataclass
class Api:
    """A client of the composed application, with the headers of each kind of caller."""

    http: httpx.AsyncClient
    app: Litestar

    anonymous: ClassVar = {"apikey": ANON_KEY}
    service: ClassVar = {"apikey": SERVICE_KEY, "authorization": f"Bearer {SERVICE_KEY}"}

    @staticmethod
    def user(user_id: str = TRAVELLER) -> dict[str, str]:
        return {"apikey": ANON_KEY, "authorization": f"Bearer {token('authenticated', user_id)}"}

    @property
    def ops(self) -> dict[str, str]:
        return self.user(OPS_USER)

    async def post(self, function: str, body: object = None, headers: dict[str, str] | None = None) -> httpx.Response:
        sent = self.anonymous if headers is None else headers
        return await self.http.post(f"/functions/v1/{function}", json={} if body is None else body, headers=sent)

    async def get(self, function: str, headers: dict[str, str] | None = None, **query: object) -> httpx.Response:
        sent = self.anonymous if headers is None else headers
        shown = {name.rstrip("_"): str(value) for name, value in query.items()}
        return await self.http.get(f"/functions/v1/{function}", params=shown, headers=sent)


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """The application's life in a task of its own: a fixture's two halves run in different ones."""
    started, ended = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await ended.wait()

    life = asyncio.create_task(live())
    await asyncio.wait([life, asyncio.create_task(started.wait())], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield
    finally:
        ended.set()
        await life


async def _described(response: httpx.Response) -> None:
    """In no test has a function's answer a field that its struct, the document and docs/api.md do not name."""
    endpoint = served().get(response.request.url.path.removeprefix("/functions/v1/"))
    told = response.is_success and response.request.method != "HEAD"
    if endpoint is not None and told and response.headers.get("content-type") == "application/json":
        assert undescribed(endpoint.answer, msgspec.json.decode(await response.aread())) == []


@asynccontextmanager
async def serving(dsn: str, **changes: object) -> AsyncIterator[Api]:
    """The composed application on a database; `changes` are settings."""
    app = create(postgres.settings(dsn, **changes))
    async with (
        lifespan(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(cast("Any", app)),
            base_url="http://testserver",
            event_hooks={"response": [_described]},
        ) as client,
    ):
        yield Api(client, app)


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    """The application offline, as `make run` starts it."""
    async with serving(database) as served:
        yield served
