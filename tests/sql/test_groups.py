"""Groups, escrows and contributions where the rules live: rows, roles, moves that psql cannot force, races."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import OPS_USER, OTHER_TRAVELLER, TRAVELLER, as_role
from tests.support.escrows import met_escrows
from tests.support.races import raced, rule_of
from tests.support.states import moves

STRANGER = "55555555-5555-4555-8555-555555555555"
TABLES = ('"group".groups', '"group".members', '"group".escrows', '"group".contributions', '"group".payouts')
CONTRIBUTE = "select contribute($1, $2, p_idempotency_key => $3)"


async def answered(connection: asyncpg.Connection, call: str, *values: object) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await connection.fetchval(f"select {call}", *values))
    return answer


async def make_group(owner: asyncpg.Connection, *members: asyncpg.Connection) -> str:
    group = str((await answered(owner, "create_group('Trek')"))["group_id"])
    for member in members:
        await answered(member, "join_group($1)", group)
    return group


async def open_escrow(connection: asyncpg.Connection, group: str, cents: int = 50000, members: int = 2) -> str:
    deadline = datetime.now(UTC) + timedelta(days=1)
    made = await answered(connection, "create_escrow($1, $2, $3, $4)", group, cents, deadline, members)
    return str(made["escrow_id"])


async def refused(connection: asyncpg.Connection, call: str, *values: object) -> object:
    """The rule that a call breaks."""
    with pytest.raises(asyncpg.PostgresError) as error:
        await connection.fetchval(f"select {call}", *values)
    return rule_of(error.value)


async def test_psql_moves_a_group_only_along_its_transitions(admin: asyncpg.Connection) -> None:
    await answered(admin, "create_group('Trek', p_user_id => $1)", TRAVELLER)
    legal = {("open", "locked"), ("locked", "open"), ("open", "cancelled"), ("locked", "cancelled")}
    states = dict.fromkeys(("open", "locked", "cancelled"), "")
    assert await moves(admin, '"group".groups', states, "group_transition") == legal


@pytest.mark.parametrize(
    ("facts", "legal"),
    [
        ("deadline = now() + interval '1 day'", {("open", "cancelled"), ("met", "cancelled")}),
        (
            "deadline = now() + interval '1 day', total_cents = target_cents, contributors = 1",
            {("open", "met"), ("open", "cancelled"), ("met", "cancelled")},
        ),
        (
            "deadline = now() - interval '1 day', total_cents = target_cents, contributors = 1",
            {("open", "expired"), ("open", "cancelled"), ("met", "cancelled")},
        ),
    ],
    ids=["collecting", "collected", "too late"],
)
async def test_psql_moves_an_escrow_only_to_what_is_true(
    admin: asyncpg.Connection, facts: str, legal: set[tuple[str, str]]
) -> None:
    group = (await answered(admin, "create_group('Trek', p_user_id => $1)", TRAVELLER))["group_id"]
    await open_escrow(admin, group, members=1)
    await admin.execute("set session_replication_role = replica")
    await admin.execute(f'update "group".escrows set {facts}')
    states = dict.fromkeys(("open", "met", "expired", "cancelled"), ", paid_out_at = null")
    states["paid_out"] = ", paid_out_at = now()"
    assert await moves(admin, '"group".escrows', states, "escrow_transition") == legal


async def test_psql_cannot_change_or_remove_what_an_escrow_is(admin: asyncpg.Connection) -> None:
    await met_escrows(admin, 1)
    for change in ("target_cents = 1", "min_members = 9", "deadline = now()", "currency = 'RWF'", "itinerary_id = id"):
        with pytest.raises(asyncpg.PostgresError) as error:
            await admin.execute(f'update "group".escrows set {change}')
        assert rule_of(error.value) == "escrow_terms_fixed"
    for table in TABLES[2:4]:
        with pytest.raises(asyncpg.PostgresError):
            await admin.execute(f"delete from {table}")
    with pytest.raises(asyncpg.PostgresError) as error:
        await admin.execute(
            'insert into "group".escrows (group_id, currency, target_cents, min_members, deadline, status)'
            " select id, 'USD', 1, 1, now(), 'met' from \"group\".groups"
        )
    assert rule_of(error.value) == "escrow_transition"


async def test_members_see_their_group_ops_see_all_and_nobody_writes(database: str) -> None:
    async with (
        as_role(database, Role.USER, TRAVELLER) as owner,
        as_role(database, Role.USER, OTHER_TRAVELLER) as member,
        as_role(database, Role.USER, STRANGER) as stranger,
        as_role(database, Role.USER, OPS_USER) as ops,
        as_role(database, Role.SERVICE) as service,
    ):
        escrow = await open_escrow(owner, await make_group(owner, member))
        await member.fetchval(CONTRIBUTE, escrow, 100, None)
        await make_group(stranger)
        seen = [[await one.fetchval(f"select count(*) from {table}") for table in TABLES] for one in (owner, stranger)]
        assert seen == [[1, 2, 1, 1, 0], [1, 1, 0, 0, 0]]
        assert await member.fetchval("select count(*) from group_contribution_summary($1)", escrow) == 1
        assert await stranger.fetchval("select count(*) from group_contribution_summary($1)", escrow) == 0
        assert await ops.fetchval('select count(*) from "group".groups') == 2
        for connection in (owner, service):
            for table in TABLES:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(f"delete from {table}")


async def test_only_owners_and_ops_run_a_group(database: str) -> None:
    async with (
        as_role(database, Role.USER, TRAVELLER) as owner,
        as_role(database, Role.USER, OTHER_TRAVELLER) as member,
        as_role(database, Role.USER, OPS_USER) as ops,
        as_role(database, Role.ANONYMOUS) as anonymous,
    ):
        group = await make_group(owner, member)
        later = datetime.now(UTC) + timedelta(days=1)
        assert await refused(member, "create_escrow($1, 500, $2)", group, later) == "owner_only"
        escrow = await open_escrow(owner, group)
        assert await refused(member, "cancel_escrow($1)", escrow) == "owner_only"
        for call in ("set_group_status($1, 'locked')", "create_group('Mine', p_user_id => $1)", "join_group($1, $1)"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="Only ops"):
                await member.fetchval(f"select {call}", group)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await anonymous.fetchval("select create_group('Trek')")
        assert (await answered(ops, "cancel_escrow($1)", escrow))["status"] == "cancelled"


async def test_a_group_is_joined_once_and_only_while_it_is_open(database: str) -> None:
    async with (
        as_role(database, Role.USER, TRAVELLER) as owner,
        as_role(database, Role.USER, OTHER_TRAVELLER) as one,
        as_role(database, Role.USER, OTHER_TRAVELLER) as again,
        as_role(database, Role.USER, STRANGER) as stranger,
    ):
        group = await make_group(owner)
        join = "select join_group($1)"
        late = await raced(one, one.fetchval(join, group), again, again.fetchval(join, group))
        assert json.loads(str(late))["status"] == "existing"
        await answered(owner, "set_group_status($1, 'locked')", group)
        assert await refused(stranger, "join_group($1)", group) == "group_open"
        assert (await answered(one, "join_group($1)", group))["status"] == "existing"
        assert await refused(stranger, "join_group($1)", str(uuid4())) == "group_known"


async def test_a_group_that_collects_money_is_not_cancelled(database: str) -> None:
    async with as_role(database, Role.USER, TRAVELLER) as owner:
        group = await make_group(owner)
        escrow = await open_escrow(owner, group)
        assert await refused(owner, "set_group_status($1, 'cancelled')", group) == "group_settled"
        await answered(owner, "cancel_escrow($1)", escrow)
        await answered(owner, "set_group_status($1, 'cancelled')", group)
        later = datetime.now(UTC) + timedelta(days=1)
        assert await refused(owner, "create_escrow($1, 500, $2)", group, later) == "group_open"


async def test_only_members_contribute_in_the_escrows_currency(database: str) -> None:
    async with (
        as_role(database, Role.USER, TRAVELLER) as owner,
        as_role(database, Role.USER, STRANGER) as stranger,
    ):
        escrow = await open_escrow(owner, await make_group(owner))
        assert await refused(stranger, "contribute($1, 100)", escrow) == "member_only"
        assert await refused(owner, "contribute($1, 100, 'EUR')", escrow) == "escrow_currency"
        assert await refused(owner, "contribute($1, 100)", str(uuid4())) == "escrow_known"
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="Only ops"):
            await stranger.fetchval("select contribute($1, 100, p_user_id => $2)", escrow, TRAVELLER)


async def test_equal_contributions_are_two_unless_they_carry_one_key(database: str) -> None:
    async with as_role(database, Role.USER, TRAVELLER) as owner:
        escrow = await open_escrow(owner, await make_group(owner))
        keys = (None, None, "mine", "mine")
        ids = [json.loads(await owner.fetchval(CONTRIBUTE, escrow, 100, key))["contribution_id"] for key in keys]
        assert len(set(ids)) == 3
        assert ids[2] == ids[3]
        assert await refused(owner, "contribute($1, 101, p_idempotency_key => 'mine')", escrow) == "payment_key_reused"
        total = await owner.fetchval('select total_cents from "group".escrows')
        assert total == 300


async def test_a_contribution_that_comes_with_the_cancellation_takes_no_money(database: str) -> None:
    async with (
        as_role(database, Role.USER, TRAVELLER) as owner,
        as_role(database, Role.USER, OTHER_TRAVELLER) as member,
    ):
        escrow = await open_escrow(owner, await make_group(owner, member))
        cancel = owner.fetchval("select cancel_escrow($1)", escrow)
        lost = await raced(owner, cancel, member, member.fetchval(CONTRIBUTE, escrow, 100, None))
        assert rule_of(lost) == "escrow_open"
        assert await owner.fetchval('select count(*) from "group".contributions') == 0


async def test_what_a_cancelled_escrow_holds_is_asked_back_once(admin: asyncpg.Connection) -> None:
    (escrow,) = await met_escrows(admin, 1)
    ask = "select request_escrow_refunds()"
    await admin.execute("select cancel_escrow($1)", escrow)
    await admin.execute("select ops.set_flag('ESCROW_REFUNDS_PAUSED', '1')")
    assert await admin.fetchval(ask) == 0
    await admin.execute("select ops.set_flag('ESCROW_REFUNDS_PAUSED', null)")
    assert [await admin.fetchval(ask) for _ in range(2)] == [1, 0]
    row = await admin.fetchrow("select amount_cents, status, origin from payment.refunds")
    assert tuple(row or ()) == (500, "pending", "escrow")
    assert await admin.fetch("select * from fin.verify_ledger()") == []


async def test_an_escrow_expires_at_its_deadline_and_not_before(admin: asyncpg.Connection) -> None:
    group = (await answered(admin, "create_group('Trek', p_user_id => $1)", TRAVELLER))["group_id"]
    await open_escrow(admin, group)
    expire = "select expire_escrows()"
    assert json.loads(await admin.fetchval(expire)) == []
    await admin.execute("set session_replication_role = replica")
    await admin.execute("update \"group\".escrows set deadline = now() - interval '1 second'")
    await admin.execute("set session_replication_role = origin")
    assert [found["status"] for found in json.loads(await admin.fetchval(expire))] == ["expired"]
    assert json.loads(await admin.fetchval(expire)) == []
