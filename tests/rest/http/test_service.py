"""The engine at /rest/v1 of our own service: dotted names, login roles, claims in the same statement."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg
import httpx
import pytest

from src.adapters.postgres.database import LOGIN_ROLES
from src.database.connections import Connections, DedicatedConnections
from src.domain.context import Role
from src.edge.turns import Turns
from src.http.auth import Authenticator
from src.http.rest import service_application
from src.logins import login_dsn
from src.rest.protocol.request import Configuration
from src.rest.run.service import service_engine
from tests.conftest import ITINERARY, OPS_USER, Api, serving
from tests.support import postgres

SCHEMAS = ("public", "fin", "ops", "booking", "payment", "core", "audit")


@pytest.fixture
async def rest(database: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = postgres.settings(database)
    pools = {role: Connections(login_dsn(settings, login), 4) for role, login in LOGIN_ROLES.items()}
    engine, loader = service_engine(
        {role.value: pool for role, pool in pools.items()},
        DedicatedConnections(pools[Role.SERVICE]),
        {},
        {},
        {role.value: login for role, login in LOGIN_ROLES.items()},
        settings.switches_json,
        Configuration(schemas=SCHEMAS, anonymous_role="anon"),
    )
    await loader.read()
    application = service_application(engine, engine.configuration, Authenticator(settings.jwt_secrets), Turns())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(cast("Any", application)), base_url="http://rest"
    ) as client:
        yield client
    for pool in pools.values():
        await pool.close()


async def test_the_ledger_is_read_by_the_service_under_its_dotted_name(rest: httpx.AsyncClient) -> None:
    answer = await rest.get(
        "/fin.ledger?payment_id=eq.11111111-1111-4111-8111-111111111111&order=occurred_at", headers=Api.service
    )
    assert answer.status_code == 200
    assert answer.json() == []


async def test_what_an_extension_brings_is_not_served(database: str, admin: asyncpg.Connection) -> None:
    """Not even where callers may use its schema and its functions are everybody's."""
    await admin.execute("drop extension pg_trgm cascade; create extension pg_trgm schema public")
    await admin.execute("create extension pg_stat_statements schema public")
    assert await admin.fetchval("select has_function_privilege('anon', 'show_trgm(text)', 'execute')")
    assert await admin.fetchval("select has_table_privilege('anon', 'pg_stat_statements', 'select')")
    async with serving(database) as api:
        for headers in (Api.anonymous, Api.user(OPS_USER), Api.service):
            called = await api.http.get("/rest/v1/rpc/show_trgm?value=x", headers=headers)
            assert (called.status_code, called.json()["code"]) == (404, "PGRST202")
            read = await api.http.get("/rest/v1/pg_stat_statements", headers=headers)
            assert (read.status_code, read.json()["code"]) == (404, "PGRST205")


async def test_ops_read_bookings_and_others_are_refused(rest: httpx.AsyncClient) -> None:
    rows = (await rest.get("/ops.v_bookings?select=id,status", headers=Api.user(OPS_USER))).json()
    assert {"id": ITINERARY, "status": "confirmed"} in rows
    traveller = await rest.get("/ops.v_bookings?select=id", headers=Api.user())
    assert (traveller.status_code, traveller.json()["code"]) == (403, "42501")
    ledger = await rest.get("/fin.ledger", headers=Api.user())
    assert ledger.status_code == 403
    anonymous = await rest.get("/ops.v_bookings?select=id", headers=Api.anonymous)
    assert anonymous.status_code == 401
    assert anonymous.json()["code"] == "42501"


async def test_a_profile_names_the_schema_of_a_bare_name(rest: httpx.AsyncClient) -> None:
    answer = await rest.get("/itineraries?select=id&limit=1", headers={**Api.service, "accept-profile": "booking"})
    assert answer.status_code == 200
    assert answer.headers["content-profile"] == "booking"


async def test_no_token_is_refused_before_anything_is_read(rest: httpx.AsyncClient) -> None:
    answer = await rest.get("/fin.ledger")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_money_stays_closed_to_writes(rest: httpx.AsyncClient) -> None:
    answer = await rest.post("/payment.payments", json={"itinerary_id": ITINERARY}, headers=Api.service)
    assert answer.status_code == 403
    assert answer.json()["code"] == "42501"


async def test_a_function_runs_as_its_caller(rest: httpx.AsyncClient) -> None:
    for headers, status in ((Api.service, 200), (Api.user(), 403), (Api.anonymous, 401)):
        answer = await rest.post("/rpc/privacy_get_datamap", json={}, headers=headers)
        assert answer.status_code == status
    unknown = await rest.post("/rpc/no_such", json={}, headers=Api.service)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "PGRST202")
