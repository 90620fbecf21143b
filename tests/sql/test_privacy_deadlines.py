"""The clock of privacy requests: ops are reminded in time, once and once more, and nobody forgets an extension."""

from __future__ import annotations

import json

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import OPS_USER, TRAVELLER, as_role
from tests.support.races import rule_of

REMIND = "select remind_privacy_deadlines()"
SHOWN = "select status || ': ' || last_error from ops.exceptions where kind = 'deadline' and cause = $1"


async def due_in(admin: asyncpg.Connection, days: int, kind: str = "export") -> str:
    body = await admin.fetchval("select create_privacy_request($1, $2)", kind, TRAVELLER)
    target = str(json.loads(body)["request_id"])
    await pass_time(admin, target, days)
    return target


async def pass_time(admin: asyncpg.Connection, target: str, days_left: int) -> None:
    await admin.execute("alter table privacy.requests disable trigger user")
    await admin.execute(
        "update privacy.requests set due_at = now() + $2 * interval '1 day',"
        " created_at = now() + $2 * interval '1 day' - interval '1 month',"
        " reminded_at = reminded_at - interval '20 days' where id = $1",
        target,
        days_left,
    )
    await admin.execute("alter table privacy.requests enable trigger user")


async def test_ops_are_reminded_a_week_ahead_and_again_when_time_is_over(admin: asyncpg.Connection) -> None:
    target, early = await due_in(admin, 6), await due_in(admin, 8, "erasure")
    assert [await admin.fetchval(REMIND) for _ in range(2)] == [1, 0]
    shown = await admin.fetchval(SHOWN, target)
    assert shown.startswith("open: the answer to a request for export is due on 20")
    assert await admin.fetchval(SHOWN, early) is None
    await pass_time(admin, target, -1)
    assert [await admin.fetchval(REMIND) for _ in range(2)] == [1, 0]
    assert "was due on" in await admin.fetchval(SHOWN, target)
    assert await admin.fetchval("select overdue and days_left <= 0 from privacy.queue where id = $1", target)
    assert await admin.fetchval("select count(*) from ops.exceptions where kind = 'deadline'") == 1


@pytest.mark.parametrize("decision", ["reject", "extend"])
async def test_a_request_that_ended_or_got_more_time_is_no_longer_shown(
    admin: asyncpg.Connection, decision: str
) -> None:
    target = await due_in(admin, 2)
    await admin.execute(REMIND)
    if decision == "reject":
        await admin.execute("select review_privacy_request($1, 'reject')", target)
    else:
        await admin.execute("select extend_privacy_request($1, 2, 'two parks have to be asked')", target)
        row = await admin.fetchrow("select * from privacy.queue where id = $1", target)
        assert row is not None
        assert row["days_left"] > 50
        assert row["extension_reason"] == "two parks have to be asked"
    assert (await admin.fetchval(SHOWN, target)).startswith("resolved")
    assert await admin.fetchval(REMIND) == 0


@pytest.mark.parametrize(("months", "reason"), [(3, "why"), (0, "why"), (1, " "), (1, None)])
async def test_an_extension_is_short_and_has_a_reason(
    admin: asyncpg.Connection, months: int, reason: str | None
) -> None:
    target = await due_in(admin, 20)
    with pytest.raises(asyncpg.PostgresError) as error:
        await admin.execute("select extend_privacy_request($1, $2, $3)", target, months, reason)
    assert rule_of(error.value) == "input_valid"


async def test_only_the_service_reminds_and_only_ops_extend(database: str, admin: asyncpg.Connection) -> None:
    target = await due_in(admin, 2)
    async with as_role(database, Role.USER, TRAVELLER) as traveller, as_role(database, Role.USER, OPS_USER) as ops:
        for connection in (traveller, ops):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(REMIND)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await traveller.execute("select extend_privacy_request($1, 1, 'why')", target)
        await ops.execute("select extend_privacy_request($1, 1, 'why')", target)
