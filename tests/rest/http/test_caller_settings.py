"""A caller's settings are made before anything is looked for, in their order, and end with the request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from src.database.connections import Connections
from src.logins import login_dsn
from src.rest.catalog.introspection import Exposure, read_catalog
from src.rest.catalog.model import Catalog
from src.rest.ports import Identity
from src.rest.protocol.reading import read
from src.rest.protocol.request import Configuration, Request
from src.rest.run.binding import Binder
from src.rest.run.runners import LocalSettings
from src.rest.run.sessions import AuthenticatorSessions, RoleSessions
from src.rest.sql.preparation import Preparation
from tests.conftest import OPS_USER
from tests.rest.http.conftest import CONFIGURATION, as_gate
from tests.support import postgres

OURS = Configuration(schemas=("booking", "ops", "public"), dotted_names=True)
OPS = Identity("authenticated", json.dumps({"role": "authenticated", "sub": OPS_USER}), "r-1")
KEEPER = Identity("keeper", json.dumps({"role": "keeper", "sub": "k"}))
READS = [
    ("/booking.itineraries", b"select=id&id=eq.11111111-1111-4111-8111-111111111111"),
    ("/ops.v_bookings", b"supplier=eq.S&order=start_date,id&limit=20"),
    ("/booking.itineraries", b"select=id,items!inner(item_type)&status=eq.pending"),
]
SEEN = """
select current_user::text as user, current_setting('search_path') as path, current_setting('timezone') as timezone,
  coalesce(current_setting('request.jwt.claims', true), '') as claims,
  coalesce(current_setting('request.id', true), '') as id,
  coalesce(current_setting('request.headers', true), '') as headers,
  current_setting('transaction_read_only') as read_only, current_setting('log_duration') as logged,
  coalesce(current_setting('app.settings.motto', true), '') as motto
"""


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Connections]:
    """One connection of users, so that each request finds what the one before it left."""
    pool = Connections(login_dsn(postgres.settings(database), "web_authenticated"), 1)
    yield pool
    await pool.close()


@pytest.fixture
async def gate(world_database: str) -> AsyncIterator[Connections]:
    """One connection of the authenticator."""
    pool = Connections(as_gate(world_database), 1)
    yield pool
    await pool.close()


async def prepared_by(pool: Connections) -> Preparation:
    async with pool.acquire() as connection:
        return Preparation(await read_catalog(connection, Exposure(OURS.schemas)), OURS)


async def seen(pool: Connections) -> dict[str, str]:
    async with pool.acquire() as connection:
        return await seen_by(connection)


async def seen_by(connection: asyncpg.Connection) -> dict[str, str]:
    row = await connection.fetchrow(SEEN)
    assert row is not None
    return dict(row)


def readers(plan: Mapping[str, Any]) -> Iterator[str]:
    """The relations that a plan reads."""
    if "Relation Name" in plan:
        yield plan["Relation Name"]
    for child in plan.get("Plans", ()):
        yield from readers(child)


async def test_no_row_is_looked_for_before_the_settings_are_made(pool: Connections) -> None:
    """Whatever the costs: all that reads is inside of a loop over the settings, which cannot be turned around."""
    preparation = await prepared_by(pool)
    for path, query in READS:
        for prefer in ((), ((b"prefer", b"count=exact"),)):
            job = read(OURS, Request("GET", path, query, prefer))
            prepared = preparation.prepare(job)
            arguments = Binder().arguments(prepared.single_slots, job, OPS)
            async with pool.acquire() as connection:
                explained = await connection.fetchval(f"explain (format json) {prepared.single}", *arguments)
            plan = json.loads(explained)[0]["Plan"]
            assert plan["Node Type"] == "Nested Loop"
            made, answered = (child for child in plan["Plans"] if child["Parent Relationship"] in ("Outer", "Inner"))
            assert (made["Parent Relationship"], made["CTE Name"]) == ("Outer", "pgrst_settings")
            assert "pgrst_settings.s0 IS NOT NULL" in json.dumps(answered)
            assert list(readers(answered)) == list(readers(plan)) != []


async def test_one_statement_leaves_nothing_on_its_connection(pool: Connections) -> None:
    before = await seen(pool)
    sessions = RoleSessions({"authenticated": pool}, {}, {}, {}, "{}", "anon")
    preparation = await prepared_by(pool)
    for query, refused in ((b"select=id", False), (b"id=eq.no-uuid", True)):
        job = read(OURS, Request("GET", "/booking.itineraries", query))
        prepared = preparation.prepare(job)
        with suppress(asyncpg.DataError):
            row = await sessions.row(OPS, prepared.single, Binder().arguments(prepared.single_slots, job, OPS))
            assert row is not None
            assert not refused
        assert await seen(pool) == before


async def test_a_transaction_of_a_login_role_leaves_nothing_on_its_connection(pool: Connections) -> None:
    before = await seen(pool)
    sessions = RoleSessions({"authenticated": pool}, {}, {}, {}, "{}", "anon")
    request = Request("GET", "/", headers=((b"x-a", b"b"),))
    for failing in (False, True):
        with suppress(asyncpg.DivisionByZeroError):
            async with sessions.transaction(
                request, OPS, LocalSettings("booking", timezone="Africa/Kigali")
            ) as connection:
                inside = await seen_by(connection)
                assert inside["claims"] == OPS.claims
                assert (inside["id"], inside["headers"]) == ("r-1", '{"x-a": "b"}')
                assert (inside["timezone"], inside["read_only"]) == ("Africa/Kigali", "on")
                await connection.execute("select 1 / 0" if failing else "select 1")
        assert await seen(pool) == before


async def test_a_transaction_of_the_authenticator_makes_a_roles_settings_then_is_that_role(
    gate: Connections, world_database: str
) -> None:
    """Only the authenticator may log durations here, so the role's own setting of it must come before the role."""
    admin = await asyncpg.connect(world_database)
    await admin.execute("grant set on parameter log_duration to gate")
    before = await seen(gate)
    sessions = AuthenticatorSessions(gate, CONFIGURATION, Catalog(role_settings={"keeper": (("log_duration", "on"),)}))
    request = Request("GET", "/", headers=((b"x-a", b"b"),))
    try:
        for failing in (False, True):
            with suppress(asyncpg.DivisionByZeroError):
                async with sessions.transaction(
                    request, KEEPER, LocalSettings("zoo", timezone="Asia/Tokyo")
                ) as connection:
                    inside = await seen_by(connection)
                    assert inside == {
                        "user": "keeper",
                        "path": '"zoo", "aside"',
                        "timezone": "Asia/Tokyo",
                        "claims": KEEPER.claims,
                        "id": "",
                        "headers": '{"x-a": "b"}',
                        "read_only": "on",
                        "logged": "on",
                        "motto": "live and let live",
                    }
                    await connection.execute("select 1 / 0" if failing else "select 1")
            assert await seen(gate) == before
        async with gate.acquire() as connection:
            await connection.execute("set role visitor")
        # What a function leaves behind is in nobody's way.
        async with sessions.transaction(request, KEEPER, LocalSettings("zoo")) as connection:
            assert (await seen_by(connection))["logged"] == "on"
    finally:
        await admin.execute("revoke set on parameter log_duration from gate")
        await admin.close()
