"""The ops queue where its rules live: one row for what is wrong, queued again by ops alone, and never forgotten."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import OPS_USER, TRAVELLER, as_role
from tests.support.payment_events import payment
from tests.support.races import raced, rule_of

OPEN = "select ops.open_exception($1, $2, $3)"
RETRY = "select retry_exception($1, 'mended')"
LIST = "select ops.list_exceptions($1, 1, 100)"


async def test_a_cause_has_one_unresolved_row_that_counts_its_attempts(admin: asyncpg.Connection) -> None:
    first = await admin.fetchval(OPEN, "payment", "cause", "one")
    assert await admin.fetchval(OPEN, "payment", "cause", "two") == first
    assert await admin.fetchval(OPEN, "refund", "cause", "one") != first
    row = await admin.fetchrow("select attempts, last_error, status from ops.exceptions where id = $1", first)
    assert tuple(row or ()) == (2, "two", "open")
    await admin.execute("select ops.resolve_exception('payment', 'cause')")
    assert await admin.fetchval(OPEN, "payment", "cause", "again") != first
    statuses = await admin.fetch("select status from ops.exceptions where (kind, cause) = ('payment', 'cause')")
    assert sorted(row["status"] for row in statuses) == ["open", "resolved"]


async def test_two_failures_at_once_are_one_row(database: str, admin: asyncpg.Connection) -> None:
    other = await asyncpg.connect(database)
    late = await raced(
        admin,
        admin.fetchval(OPEN, "payment", "cause", "one"),
        other,
        other.fetchval(OPEN, "payment", "cause", "two"),
    )
    await other.close()
    assert [
        (row["id"], row["attempts"])
        for row in await admin.fetch("select id, attempts from ops.exceptions where cause = 'cause'")
    ] == [(late, 2)]


async def test_only_ops_see_what_really_failed(database: str, admin: asyncpg.Connection) -> None:
    await admin.fetchval(OPEN, "payment", "cause", "one")
    async with (
        as_role(database, Role.USER, TRAVELLER) as traveller,
        as_role(database, Role.USER, OPS_USER) as ops,
        as_role(database, Role.ANONYMOUS) as anonymous,
    ):
        assert await traveller.fetch("select id from ops.exceptions") == []
        for connection in (traveller, anonymous):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetchval(LIST, None)
        assert "one" in await ops.fetchval(LIST, "open")
        await ops.fetchval("select ops.set_flag('USE_FIXTURES', '1')")
        for connection in (traveller, anonymous):
            shown = json.loads(await connection.fetchval(LIST, None))["data"]
            assert {row["source"] for row in shown} <= {"fixtures"}
        assert "one" in await ops.fetchval(LIST, "OPEN")


async def test_only_ops_queue_again_what_is_not_resolved(database: str, admin: asyncpg.Connection) -> None:
    found = await admin.fetchval(OPEN, "ledger", "cause", "one")
    async with as_role(database, Role.USER, TRAVELLER) as traveller, as_role(database, Role.USER, OPS_USER) as ops:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="Only ops"):
            await traveller.fetchval(RETRY, found)
        assert json.loads(await ops.fetchval(RETRY, found))["status"] == "retrying"
        with pytest.raises(asyncpg.PostgresError) as refused:
            await ops.fetchval(RETRY, uuid4())
        assert rule_of(refused.value) == "exception_known"
        await admin.execute("select ops.resolve_exception('ledger', 'cause')")
        with pytest.raises(asyncpg.PostgresError) as refused:
            await ops.fetchval(RETRY, found)
        assert rule_of(refused.value) == "exception_unresolved"
        for statement in ("update ops.exceptions set status = 'open'", "delete from ops.exceptions"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await ops.execute(statement)


async def test_to_retry_a_payment_has_the_worker_ask_for_its_intent(admin: asyncpg.Connection) -> None:
    of = str(await payment(admin))
    due = "select next_attempt_at <= now() from payment.payments"
    assert not await admin.fetchval(due)
    await admin.execute(RETRY, await admin.fetchval(OPEN, "payment", of, "no_answer"))
    assert await admin.fetchval(due)
    queued = "select payload ->> 'queued' from audit.events where what = 'exception.retried'"
    assert await admin.fetchval(queued) == "true"
    await admin.execute("select record_payment_intent($1, 'pi_1')", of)
    assert await admin.fetchval("select status from ops.exceptions where cause = $1", of) == "resolved"


async def test_what_there_is_no_work_behind_is_only_marked(admin: asyncpg.Connection) -> None:
    for kind in (
        "payment",
        "webhook",
        "refund",
        "payout",
        "message",
        "erasure",
        "invoice",
        "sweep",
        "circuit",
        "ledger",
    ):
        await admin.execute(RETRY, await admin.fetchval(OPEN, kind, str(uuid4()), "x"))
    queued = await admin.fetch(
        "select payload ->> 'queued' as queued from audit.events where what = 'exception.retried'"
    )
    assert [row["queued"] for row in queued] == ["false"] * 10


async def test_what_is_retried_without_an_end_is_open_again_a_quarter_of_an_hour_later(
    admin: asyncpg.Connection,
) -> None:
    found = await admin.fetchval(OPEN, "ledger", "cause", "one")
    await admin.execute(RETRY, found)
    reopen = "select ops.reopen_stalled_exceptions()"
    status = "select status from ops.exceptions where id = $1"
    for minutes, expected in ((14, "retrying"), (16, "open")):
        await admin.execute("update ops.exceptions set updated_at = now() - $1::interval", timedelta(minutes=minutes))
        await admin.fetchval(reopen)
        assert await admin.fetchval(status, found) == expected
    assert await admin.fetchval("select attempts from ops.exceptions where id = $1", found) == 2
