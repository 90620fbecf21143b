"""A production database mocks nothing, whoever asks for it, however, and at whatever moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from src.adapters.postgres.seed import SeedError, seed_demo, seed_volume
from src.database import apply
from src.domain.context import Role
from src.logins import role_password
from src.settings import LIVE_SWITCHES, OFFLINE_SWITCHES, PAUSES, SWITCHES
from tests.conftest import ITINERARY, OPS_USER, Api, as_role, serving
from tests.support.postgres import JWT_SECRET, settings
from tests.support.processes import ecotrips
from tests.support.races import blocked, raced, rule_of, until

MOCKED = {name: value for name, value in OFFLINE_SWITCHES.items() if name not in PAUSES}
CHECKOUT = "select start_checkout($1, 25000, 'USD', $2) ->> 'payment_id'"


async def become(connection: asyncpg.Connection, environment: str) -> list[str]:
    return list(await connection.fetchval("select meta.set_environment($1)", environment))


async def mocking(connection: asyncpg.Connection, switches: Mapping[str, str] = OFFLINE_SWITCHES) -> None:
    """The session is one of a process whose environment mocks everything, or of psql beside it."""
    await connection.execute("select set_config('request.switches', $1, false)", json.dumps(switches))
    if not await connection.fetchval("select sec.from_edge()"):
        await connection.execute(apply.KEEP_SWITCHES, json.dumps(switches))


async def in_force(connection: asyncpg.Connection) -> dict[str, str]:
    return {name: await connection.fetchval("select ops.flag($1)", name) for name in SWITCHES}


async def test_neither_rows_nor_the_environment_mock_anything_in_production(admin: asyncpg.Connection) -> None:
    await mocking(admin)
    for name, value in (MOCKED | dict.fromkeys(PAUSES, "1")).items():
        await admin.execute("select ops.set_flag($1, $2)", name, value)
    assert await in_force(admin) == MOCKED | dict.fromkeys(PAUSES, "1")
    assert await become(admin, "production") == sorted(MOCKED)
    assert await become(admin, "production") == []
    assert await in_force(admin) == {**LIVE_SWITCHES, **dict.fromkeys(PAUSES, "1")}
    assert {row["name"] for row in await admin.fetch("select name from ops.flags")} == set(PAUSES)
    said = json.loads(await admin.fetchval("select payload from audit.events where what = 'environment.set'"))
    assert said == {"name": "production", "flags_removed": sorted(MOCKED)}
    # What a release to come mocks, it does not mock here.
    await mocking(admin, {"SMS_OFFLINE": "1"})
    assert await admin.fetchval("select ops.flag('SMS_OFFLINE')") == "0"


@pytest.mark.parametrize("name", MOCKED)
async def test_nobody_turns_a_mock_on_in_production(database: str, admin: asyncpg.Connection, name: str) -> None:
    await become(admin, "production")
    change = "select ops.set_flag($1, $2)"
    async with as_role(database, Role.SERVICE) as service, as_role(database, Role.USER, OPS_USER) as ops:
        for connection in (service, ops, admin):
            with pytest.raises(asyncpg.PostgresError, match="nothing is mocked") as caught:
                await connection.execute(change, name, MOCKED[name])
            assert rule_of(caught.value) == "production_is_live"
            await connection.execute(change, name, LIVE_SWITCHES[name])
        with pytest.raises(asyncpg.PostgresError, match="nothing is mocked"):
            await admin.execute("update ops.flags set value = $2 where name = $1", name, MOCKED[name])
        await ops.execute(change, name, None)
        with pytest.raises(asyncpg.PostgresError, match="nothing is mocked"):
            await admin.execute("insert into ops.flags values ($1, $2, 'somebody')", name, MOCKED[name])
    # Even past the trigger.
    await admin.execute("set session_replication_role = replica")
    await admin.execute("insert into ops.flags values ($1, $2, 'somebody')", name, MOCKED[name])
    assert await admin.fetchval("select ops.flag($1)", name) == LIVE_SWITCHES[name]


async def test_pauses_are_no_mocks(admin: asyncpg.Connection) -> None:
    await become(admin, "production")
    for name in PAUSES:
        await admin.execute("select ops.set_flag($1, '1')", name)
        assert await admin.fetchval("select ops.flag($1)", name) == "1"


async def test_what_is_made_in_production_is_live(database: str, admin: asyncpg.Connection) -> None:
    await become(admin, "production")
    await mocking(admin)
    payment = await admin.fetchval(CHECKOUT, ITINERARY, uuid4().hex)
    assert await admin.fetchval("select mode from payment.payments where id = $1::uuid", payment) == "live"
    await admin.execute("select send_message('text', '250788123456', 'Welcome')")
    assert await admin.fetchval("select mode from wa.messages") == "live"
    with pytest.raises(asyncpg.PostgresError, match="Itinerary not found"):
        await admin.execute(CHECKOUT, uuid4(), uuid4().hex)
    hold = (
        "select place_hold($1, 'HBX-1', 'p', $2, $3, '[1, 0, []]', $4, 'fixtures', 100, 'USD', '{}')",
        *(OPS_USER, date(2099, 6, 3), date(2099, 6, 5), "a-key"),
    )
    async with as_role(database, Role.SERVICE) as service:
        with pytest.raises(asyncpg.PostgresError, match="nothing is mocked"):
            await service.execute(*hold)


@pytest.mark.parametrize(
    ("table", "columns", "values"),
    [
        ("payment.payments", "amount_cents, currency, idempotency_key, mode", "1, 'USD', 'k', 'mock'"),
        ("wa.messages", "direction, mode, type, msisdn, status", "'in', 'mock', 'text', '250788123456', 'received'"),
    ],
)
async def test_no_row_is_a_mocks_in_production(
    admin: asyncpg.Connection, table: str, columns: str, values: str
) -> None:
    add = f"insert into {table} ({columns}) values ({values})"
    undone = admin.transaction()
    await undone.start()
    await admin.execute(add)
    await undone.rollback()
    await become(admin, "production")
    with pytest.raises(asyncpg.PostgresError, match="nothing is mocked"):
        await admin.execute(add)


async def test_every_table_with_a_mode_refuses_mocks(admin: asyncpg.Connection) -> None:
    """A payout's mode follows from its payments', and an escrow of mock payments is not payable; what fixtures said of
    hotels is kept under their name, and never given to a live question.
    """
    tables = await admin.fetch(
        """
        select c.conrelid::regclass::text from pg_constraint c
        where c.contype = 'c' and pg_get_constraintdef(c.oid) ~ '''(mock|fixtures)'''
          and not exists (select from pg_trigger where tgrelid = c.conrelid and tgname = 'refuse_in_production')
        """
    )
    assert {row[0] for row in tables} == {'"group".payouts', "inventory.cache"}


async def test_money_that_was_mocked_before_does_not_move_afterwards(admin: asyncpg.Connection) -> None:
    await mocking(admin)
    group = await admin.fetchval("select create_group('Trek', p_user_id => $1) ->> 'group_id'", OPS_USER)
    terms = "$1::uuid, 500, now() + interval '1 day', p_min_members => 1"
    escrow = await admin.fetchval(f"select create_escrow({terms}) ->> 'escrow_id'", group)
    member = await admin.fetchval('select id from "group".members')
    await admin.execute("select contribute($1::uuid, 500, p_member_id => $2)", escrow, member)
    payable = 'select "group".is_payable(e) from "group".escrows e'
    assert await admin.fetchval(payable) is True
    await admin.execute("select record_payment_intent(id, 'pi_mock_' || id) from payment.payments")
    event = (
        "select apply_payment_event($1, 'payment_intent.succeeded', '{}', $2, p_intent_id => $3,"
        " p_amount_cents => 500, p_currency => 'usd') ->> 'result'"
    )
    intent = await admin.fetchval("select intent_id from payment.payments")
    await become(admin, "production")
    assert await admin.fetchval(payable) is False
    assert await admin.fetchval(event, "evt_unsigned", False, intent) == "deferred"
    assert await admin.fetchval("select captured_cents from payment.payments") == 0
    await become(admin, "development")
    assert await admin.fetchval(payable) is True
    assert await admin.fetchval(event, "evt_later", False, intent) == "applied"


async def test_only_the_administrator_says_what_the_database_is(database: str, admin: asyncpg.Connection) -> None:
    for role in Role:
        async with as_role(database, role, OPS_USER if role is Role.USER else None) as connection:
            for statement in (
                "select meta.set_environment('development')",
                "update meta.environment set name = 'development'",
                "delete from meta.environment",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
    await admin.execute("delete from meta.environment")
    # Whatever has happened to the row: nothing is mocked.
    await mocking(admin)
    assert await in_force(admin) == LIVE_SWITCHES


async def test_a_checkout_that_is_under_way_ends_before_or_is_live(database: str, admin: asyncpg.Connection) -> None:
    async with as_role(database, Role.ANONYMOUS) as first, as_role(database, Role.ANONYMOUS) as second:
        for connection in (first, second):
            await mocking(connection)
        begun = first.transaction()
        await begun.start()
        early = await first.fetchval(CHECKOUT, ITINERARY, uuid4().hex)
        becoming = asyncio.create_task(become(admin, "production"))
        observer = await asyncpg.connect(database)
        waiting = "select count(*) from pg_locks where not granted"
        await until(lambda: observer.fetchval(f"select ({waiting}) = 1"))
        # Its statement's snapshot is older than what it waits for.
        late = asyncio.create_task(second.fetchval(CHECKOUT, ITINERARY, uuid4().hex))
        await until(lambda: observer.fetchval(f"select ({waiting}) = 2"))
        assert not becoming.done()
        await begun.commit()
        await becoming
        outcome = (await asyncio.gather(late, return_exceptions=True))[0]
        modes = {str(row["id"]): row["mode"] for row in await observer.fetch("select id, mode from payment.payments")}
        assert modes.pop(early) == "mock"
        assert set(modes.values()) <= {"live"}
        if isinstance(outcome, BaseException):
            assert rule_of(outcome) == "production_is_live"
        await observer.close()


async def test_a_switch_that_is_turned_meanwhile_does_not_stay(database: str, admin: asyncpg.Connection) -> None:
    async with as_role(database, Role.USER, OPS_USER) as ops:
        turn = "select ops.set_flag('STRIPE_MOCK_MODE', '1')"
        outcome = await raced(admin, become(admin, "production"), ops, ops.execute(turn))
        assert rule_of(outcome) == "production_is_live"
        await become(admin, "development")
        outcome = await raced(ops, ops.execute(turn), admin, become(admin, "production"))
        assert outcome == ["STRIPE_MOCK_MODE"]
        assert await admin.fetchval("select count(*) from ops.flags") == 0


async def test_an_unfinished_transaction_stops_it_for_ten_seconds_at_most(
    database: str, admin: asyncpg.Connection
) -> None:
    other = await asyncpg.connect(database)
    async with admin.transaction():
        await admin.fetchval("select meta.is_production()")
        becoming = asyncio.create_task(become(other, "production"))
        await blocked(admin)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await becoming
    await other.close()


async def test_a_running_server_obeys(api: Api, admin: asyncpg.Connection) -> None:
    async def switches() -> object:
        return (await api.http.get("/readyz")).json()["switches"]

    assert await switches() == OFFLINE_SWITCHES
    await become(admin, "production")
    await until(lambda: _holds(switches, LIVE_SWITCHES))
    for headers in (api.ops, api.service):
        for path in ("/rest/v1/rpc/ops.set_flag", "/rest/v1/rpc/set_flag"):
            sent = {**headers, "content-profile": "ops"}
            body = {"p_name": "STRIPE_MOCK_MODE", "p_value": "1"}
            refused = await api.http.post(path, json=body, headers=sent)
            assert refused.status_code == 409, refused.text
            assert "nothing is mocked" in refused.text
    assert await switches() == LIVE_SWITCHES
    checkout = await api.post("bff-checkout", {"itinerary_id": ITINERARY, "amount_cents": 100, "currency": "USD"})
    assert "mock" not in checkout.text


async def _holds(found: object, wanted: object) -> bool:
    return callable(found) and await found() == wanted


async def test_a_process_whose_environment_mocks_everything_obeys(database: str, admin: asyncpg.Connection) -> None:
    await become(admin, "production")
    async with serving(database) as served:
        assert (await served.http.get("/readyz")).json()["switches"] == LIVE_SWITCHES


@pytest.mark.parametrize("command", [["serve"], ["worker", "--once"]], ids=" ".join)
async def test_processes_and_databases_of_different_environments_do_not_meet(
    database: str, admin: asyncpg.Connection, tmp_path: Path, command: list[str]
) -> None:
    await become(admin, "production")
    ran = await asyncio.to_thread(ecotrips, tmp_path, *command, DATABASE_URL=database, **OFFLINE_SWITCHES)
    assert ran.returncode == 1
    assert ran.stderr.startswith("ecotrips: this is a production database: set ECOTRIPS_ENV=production")


async def test_the_commands_do_not_turn_a_mock_on(database: str, admin: asyncpg.Connection, tmp_path: Path) -> None:
    await become(admin, "production")
    ran = await asyncio.to_thread(ecotrips, tmp_path, "flags", "set", "STRIPE_MOCK_MODE=1", DATABASE_URL=database)
    assert ran.returncode == 1
    assert ran.stderr == "ecotrips: This is a production database: nothing is mocked in it\n"


async def test_no_made_up_data_goes_into_production(database: str, admin: asyncpg.Connection) -> None:
    await become(admin, "production")
    with pytest.raises(SeedError):
        await seed_demo(database)
    with pytest.raises(SeedError):
        await seed_volume(database, 1, print)


async def test_applying_the_sql_in_production_marks_the_database(database: str, admin: asyncpg.Connection) -> None:
    given = settings(database)
    await admin.execute("select ops.set_flag('WA_OFFLINE', '1')")
    said: list[str] = []
    for production in (False, True, True, False):
        await apply.apply(
            database, apply.shipped(), lambda role: role_password(given, role), said.append, production=production
        )
    assert said == ["WA_OFFLINE: override removed"]
    assert await admin.fetchval("select meta.is_production()") is True
    assert JWT_SECRET not in said
