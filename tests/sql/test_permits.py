"""Permits where the rules live: rows, roles, races and quotas."""

from __future__ import annotations

import json
from datetime import date, timedelta

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import OPS_USER, OTHER_TRAVELLER, TRAVELLER, as_role
from tests.support.races import raced, rule_of

DAY = date.today() + timedelta(days=60)  # noqa: DTZ011 - far enough for any zone


async def requested(
    connection: asyncpg.Connection, pax_count: int = 2, note: str | None = None, park: str = "Nyungwe"
) -> str:
    body = await connection.fetchval("select create_permit_request($1, $2, $3, $4)", park, DAY, pax_count, note)
    return str(json.loads(body)["request_id"])


async def test_travellers_see_their_own_requests_and_ops_see_all(database: str) -> None:
    async with as_role(database, Role.USER, TRAVELLER) as one, as_role(database, Role.USER, OTHER_TRAVELLER) as other:
        own = await requested(one)
        await requested(other)
        assert [str(row["id"]) for row in await one.fetch("select id from permits.requests")] == [own]
    async with as_role(database, Role.USER, OPS_USER) as ops, as_role(database, Role.SERVICE) as service:
        for connection in (ops, service):
            assert await connection.fetchval("select count(*) from permits.requests") == 2
    async with as_role(database, Role.ANONYMOUS) as anonymous:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await anonymous.fetch("select id from permits.requests")


async def test_nobody_writes_the_table_itself(database: str) -> None:
    async with as_role(database, Role.SERVICE) as service:
        for statement in (
            "insert into permits.requests (park, visit_date, pax_count) values ('Akagera', now(), 1)",
            "update permits.requests set status = 'approved'",
            "delete from permits.requests",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(statement)


async def test_only_ops_decide_and_set_quotas(database: str) -> None:
    async with as_role(database, Role.USER, TRAVELLER) as traveller:
        target = await requested(traveller)
        for statement in (
            f"select approve_permit_request('{target}')",
            f"select reject_permit_request('{target}')",
            "select set_permit_quota('Nyungwe', 0)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="Only ops"):
                await traveller.fetchval(statement)


async def test_psql_cannot_bring_a_decided_request_back(admin: asyncpg.Connection) -> None:
    target = await requested(admin)
    await admin.execute("update permits.requests set status = 'rejected' where id = $1", target)
    for status in ("pending", "approved", "cancelled"):
        with pytest.raises(asyncpg.PostgresError, match=f"rejected cannot become {status}"):
            await admin.execute("update permits.requests set status = $2 where id = $1", target, status)
    with pytest.raises(asyncpg.PostgresError, match="never changes"):
        await admin.execute("update permits.requests set pax_count = 9 where id = $1", target)


async def test_a_note_cannot_look_like_a_decision(admin: asyncpg.Connection) -> None:
    target = await requested(admin, note="please\n2026-01-01T00:00:00.000Z - boss:\u2028 approved")
    await admin.fetchval("select reject_permit_request($1, $2)", target, "no\r\n\tplaces")
    lines = (await admin.fetchval("select note from permits.requests where id = $1", target)).splitlines()
    assert lines[0] == "please 2026-01-01T00:00:00.000Z - boss: approved"
    assert lines[1].endswith(": rejected (no places)")
    assert len(lines) == 2


async def test_of_two_decisions_at_once_the_later_one_loses(database: str) -> None:
    async with as_role(database, Role.SERVICE) as one, as_role(database, Role.USER, OPS_USER) as other:
        target = await requested(one)
        lost = await raced(
            one,
            one.fetchval("select approve_permit_request($1)", target),
            other,
            other.fetchval("select reject_permit_request($1)", target),
        )
        assert rule_of(lost) == "permit_pending"
        decided = "select what from audit.events where payload->>'permit_request_id' = $1 order by id"
        assert [row["what"] for row in await one.fetch(decided, target)] == ["permits.requested", "permits.approved"]


async def test_a_quota_is_kept_also_when_the_last_places_are_approved_at_once(database: str) -> None:
    async with as_role(database, Role.SERVICE) as one, as_role(database, Role.SERVICE) as other:
        targets = [await requested(one, 3) for _ in range(2)]
        await one.fetchval("select set_permit_quota('Nyungwe', 5)")
        approve = "select approve_permit_request($1)"
        lost = await raced(one, one.fetchval(approve, targets[0]), other, other.fetchval(approve, targets[1]))
        assert rule_of(lost) == "permit_quota"
        with pytest.raises(asyncpg.PostgresError, match=f"Nyungwe has no places left for 3 visitors on {DAY}"):
            await requested(one, 3)
        await requested(one, 2)


async def test_a_park_without_a_quota_takes_any_number(database: str) -> None:
    async with as_role(database, Role.SERVICE) as service:
        await service.fetchval("select set_permit_quota('Nyungwe', 0)")
        target = await requested(service, 500, park="Akagera")
        await service.fetchval("select approve_permit_request($1)", target)
        await service.fetchval("select set_permit_quota('Nyungwe', null)")
        await requested(service, 500)


async def test_a_refused_decision_leaves_no_trace(database: str) -> None:
    async with as_role(database, Role.SERVICE) as service:
        target = await requested(service)
        await service.fetchval("select cancel_permit_request($1)", target)
        before = await service.fetch("select * from permits.requests")
        with pytest.raises(asyncpg.PostgresError, match="Only pending requests can be approved"):
            await service.fetchval("select approve_permit_request($1)", target)
        assert await service.fetch("select * from permits.requests") == before
        assert await service.fetchval("select count(*) from audit.events where what = 'permits.approved'") == 0
