"""Holds, kept answers and the supplier's circuit where their rules live: one hold for a key, one probe at a time."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import OPS_USER, OTHER_TRAVELLER, TRAVELLER, as_role
from tests.support.races import raced, rule_of

PLACE = "select place_hold($1, $2, 'BB', $3, $4, '[2, 0, []]', $5, 'HBX', 18000, 'USD', '{}')"
STAY = (date(2031, 6, 1), date(2031, 6, 3))
FLIGHT = "select inventory.claim_flight('key', 'HBX', $1, 30)"
ADMIT = "select inventory.admit_call('hbx', 30)"
JUDGE = "select inventory.judge_circuit('hbx', $1, $2, 5, $3)"
READ = "select inventory.read_circuit('hbx')"


async def answered(connection: asyncpg.Connection, statement: str, *values: object) -> Any:
    return json.loads(await connection.fetchval(statement, *values))


async def opened(service: asyncpg.Connection, cooldown: int) -> dict[str, Any]:
    """The circuit, opened for so many seconds."""
    await service.fetchval(JUDGE, (await answered(service, READ))["version"], "open", cooldown)
    circuit: dict[str, Any] = await answered(service, READ)
    return circuit


async def test_a_key_holds_one_rate_also_when_two_ask_at_once(database: str) -> None:
    asked = (UUID(TRAVELLER), "1234", *STAY, "mine")
    async with as_role(database, Role.SERVICE) as one, as_role(database, Role.SERVICE) as other:
        late = await raced(one, one.fetchval(PLACE, *asked), other, other.fetchval(PLACE, *asked))
        first = await answered(one, PLACE, *asked)
        assert json.loads(str(late))["hold_ref"] == first["hold_ref"]
        with pytest.raises(asyncpg.PostgresError) as refused:
            await one.fetchval(PLACE, UUID(TRAVELLER), "1235", *STAY, "mine")
        assert rule_of(refused.value) == "hold_key_reused"
        another = await answered(one, PLACE, UUID(OTHER_TRAVELLER), "1235", *STAY, "mine")
        assert another["hold_ref"] != first["hold_ref"]
        assert await one.fetchval("select count(*) from audit.events where what = 'inventory.held'") == 2


async def test_travellers_see_their_own_holds_and_only_the_service_makes_them(database: str) -> None:
    async with as_role(database, Role.SERVICE) as service:
        for user in (TRAVELLER, OTHER_TRAVELLER):
            await service.fetchval(PLACE, UUID(user), "1234", *STAY, "mine")
    for user, seen in ((TRAVELLER, 1), (OPS_USER, 2)):
        async with as_role(database, Role.USER, user) as connection:
            assert await connection.fetchval("select count(*) from inventory.holds") == seen
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetchval(PLACE, UUID(user), "1234", *STAY, "other")


@pytest.mark.parametrize(
    ("pax", "nights", "message"),
    [
        ("[0, 0, []]", 1, "adults"),
        ("[2, 1, [3, 4]]", 1, "age of each child"),
        ("[2, 1, [18]]", 1, "child_ages"),
        ("[2, 0, []]", 0, "after check_in"),
        ("[2, 0, []]", 31, "at most 30 nights"),
    ],
)
async def test_a_stay_that_cannot_be_is_not_held(
    admin: asyncpg.Connection, pax: str, nights: int, message: str
) -> None:
    stay = (STAY[0], STAY[0] + timedelta(days=nights))
    with pytest.raises(asyncpg.PostgresError, match=message) as refused:
        await admin.fetchval(PLACE.replace("[2, 0, []]", pax), UUID(TRAVELLER), "1234", *stay, "mine")
    assert rule_of(refused.value) == "input_valid"


async def test_one_caller_asks_the_supplier_and_the_others_wait_for_the_answer(admin: asyncpg.Connection) -> None:
    one, other = uuid4(), uuid4()
    land = "select inventory.land_flight('key', 'HBX', $1)"
    assert [await admin.fetchval(FLIGHT, holder) for holder in (one, other)] == [True, False]
    await admin.execute(land, other)
    assert not await admin.fetchval(FLIGHT, other), "only who asks ends the wait"
    await admin.execute(land, one)
    assert await admin.fetchval(FLIGHT, other)
    await admin.execute("update inventory.flights set locked_until = clock_timestamp() - interval '1 second'")
    assert await admin.fetchval(FLIGHT, one), "who died keeps nobody from asking"


async def test_an_answer_is_kept_for_its_origin_alone_and_a_day_at_most(admin: asyncpg.Connection) -> None:
    read = "select inventory.read_cache('key', $1)"
    holder = uuid4()
    await admin.fetchval(FLIGHT, holder)
    await admin.fetchval("select inventory.write_cache('key', 'HBX', 'quote', '{\"a\": 1}', 60, $1)", holder)
    assert await admin.fetchval("select count(*) from inventory.flights") == 0
    kept = await answered(admin, read, "HBX")
    assert json.loads(kept["payload"]) == {"a": 1}
    assert 0 < kept["fresh_seconds"] <= 60
    assert await answered(admin, read, "fixtures") is None
    for age, left in ((23, 1), (25, 0)):
        await admin.execute("update inventory.cache set fetched_at = now() - $1::interval", timedelta(hours=age))
        await admin.execute("select inventory.purge_cache()")
        assert await admin.fetchval("select count(*) from inventory.cache") == left


async def test_a_rested_circuit_lets_one_probe_through_at_a_time(database: str) -> None:
    async with as_role(database, Role.SERVICE) as one, as_role(database, Role.SERVICE) as other:
        assert (await opened(one, 60))["state"] == "open"
        assert not (await answered(one, ADMIT))["probing"]
        assert (await opened(one, 0))["state"] == "half-open"
        late = await raced(one, one.fetchval(ADMIT), other, other.fetchval(ADMIT))
        assert not json.loads(str(late))["probing"]
        probe = (await answered(one, READ))["version"]
        await one.execute("select inventory.release_probe('hbx', $1)", probe)
        assert (await answered(other, ADMIT))["probing"]


async def test_a_judgement_on_what_has_changed_meanwhile_writes_nothing(
    database: str, admin: asyncpg.Connection
) -> None:
    async with as_role(database, Role.SERVICE) as one, as_role(database, Role.SERVICE) as other:
        version = (await answered(one, READ))["version"]
        late = await raced(
            one, one.fetchval(JUDGE, version, "open", 60), other, other.fetchval(JUDGE, version, "closed", None)
        )
        assert json.loads(str(late))["state"] == "open"
        shown = "select status from ops.exceptions where kind = 'circuit' and cause = 'hbx' order by occurred_at desc"
        assert await admin.fetchval(shown) == "open"
        await one.fetchval(JUDGE, version + 1, "closed", None)
        assert await admin.fetchval(shown) == "resolved"
        assert (await answered(one, READ))["epoch"] == 2


async def test_only_ops_hold_a_circuit_and_what_they_hold_no_outcome_moves(database: str) -> None:
    force = "select force_circuit('hbx', $1)"
    async with (
        as_role(database, Role.USER, TRAVELLER) as traveller,
        as_role(database, Role.USER, OPS_USER) as ops,
        as_role(database, Role.SERVICE) as service,
    ):
        for statement in (force.replace("$1", "'open'"), READ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="Only ops"):
                await traveller.fetchval(statement)
        await ops.fetchval(force, "closed")
        assert (await opened(service, 60))["state"] == "closed"
        assert (await answered(ops, force, None))["failures"] == 0
        with pytest.raises(asyncpg.PostgresError) as refused:
            await ops.fetchval("select force_circuit('other', 'open')")
        assert rule_of(refused.value) == "circuit_known"
