"""Messages in SQL: the ladder of states in any order of reports, claims, windows, and who may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import OPS_USER, TRAVELLER, as_role

NUMBER = "250788120001"
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def live(admin: asyncpg.Connection) -> None:
    await admin.execute("insert into ops.flags (name, value, updated_by) values ('WA_OFFLINE', '0', 'test')")


async def queued(
    connection: asyncpg.Connection, *, claimed: bool = True, link_template: str | None = None
) -> dict[str, Any]:
    text = await connection.fetchval(
        "select public.send_message('link_notice', $1, 'Your invoice', 'https://x.example/a', null, $2, $3)",
        f"+{NUMBER}",
        link_template,
        claimed,
    )
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


async def outcome(
    connection: asyncpg.Connection,
    message: dict[str, Any],
    result: str,
    wamid: str | None = None,
    code: int | None = None,
) -> str:
    text = await connection.fetchval(
        "select public.record_message_outcome($1, $2, $3, $4, $5)",
        UUID(message["message_id"]),
        message["attempt"],
        result,
        wamid or None,
        code,
    )
    return str(json.loads(text)["status"])


def report(
    status: str, wamid: str = "wamid.1", message_id: str | None = None, code: int | None = None
) -> dict[str, Any]:
    return {
        "provider_message_id": wamid,
        "message_id": message_id,
        "status": status,
        "occurred_at": AT.isoformat(),
        "error_code": code or None,
    }


async def reported(connection: asyncpg.Connection, reports: Sequence[dict[str, Any]]) -> int:
    text = await connection.fetchval("select public.receive_message_events('[]', $1)", json.dumps(reports))
    return int(json.loads(text)["statuses"])


async def status_of(admin: asyncpg.Connection) -> str:
    return str(await admin.fetchval("select status from wa.messages where direction = 'out'"))


async def written(admin: asyncpg.Connection, at: datetime) -> None:
    """The traveller writes to us."""
    message = {
        "provider_message_id": f"in-{at}",
        "msisdn": NUMBER,
        "type": "text",
        "body": "hi",
        "occurred_at": at.isoformat(),
    }
    await admin.execute("select public.receive_message_events($1, '[]')", json.dumps([message]))


@pytest.mark.parametrize(
    ("reports", "end"),
    [
        (("sent", "delivered", "read"), "read"),
        (("sent", "failed"), "failed"),
        (("sent", "failed", "delivered"), "delivered"),
        (("failed", "read"), "read"),
    ],
)
async def test_every_order_of_reports_ends_the_same(
    admin: asyncpg.Connection, reports: tuple[str, ...], end: str
) -> None:
    await live(admin)
    for order in permutations((*reports, "accepted")):
        async with admin.transaction():
            message = await queued(admin)
            for step in order:
                if step == "accepted":
                    await outcome(admin, message, "accepted", "wamid.1")
                else:
                    await reported(admin, [report(step, message_id=message["message_id"])] * 2)
            assert await status_of(admin) == end, order
            unresolved = await admin.fetchval(
                "select count(*) from ops.exceptions where kind = 'message' and cause = $1 and status <> 'resolved'",
                message["message_id"],
            )
            assert unresolved == (1 if end == "failed" else 0), order
            await admin.execute("delete from wa.messages; delete from wa.statuses; delete from ops.exceptions")


async def test_a_report_is_kept_once_and_unknown_messages_reports_too(admin: asyncpg.Connection) -> None:
    assert await reported(admin, [report("sent"), report("sent"), report("played", "wamid.2")]) == 2
    assert await reported(admin, [report("sent")]) == 0
    assert await admin.fetchval("select count(*) from wa.statuses") == 2


async def test_reports_that_came_before_the_answer_are_applied_with_it(admin: asyncpg.Connection) -> None:
    await live(admin)
    message = await queued(admin)
    await reported(admin, [report("delivered")])  # without our id nobody knows yet whose it is
    assert await status_of(admin) == "sending"
    assert await outcome(admin, message, "accepted", "wamid.1") == "delivered"


async def test_a_lost_answer_is_unknown_until_a_report_settles_it(admin: asyncpg.Connection) -> None:
    await live(admin)
    message = await queued(admin)
    assert await outcome(admin, message, "unknown") == "unknown"
    opened = await admin.fetchrow(
        "select status, last_error from ops.exceptions where cause = $1", message["message_id"]
    )
    assert opened is not None
    assert opened["status"] == "open"
    assert NUMBER not in opened["last_error"]
    assert json.loads(await admin.fetchval("select wa.claim_messages(10)")) == []
    await reported(admin, [report("sent", message_id=message["message_id"])])
    assert await status_of(admin) == "sent"
    assert (
        await admin.fetchval("select status from ops.exceptions where cause = $1", message["message_id"]) == "resolved"
    )


async def test_a_sender_that_died_leaves_an_unknown_outcome_and_no_second_message(admin: asyncpg.Connection) -> None:
    await live(admin)
    await queued(admin)
    await admin.execute("update wa.messages set locked_until = now() - interval '1 second'")
    assert json.loads(await admin.fetchval("select wa.claim_messages(10)")) == []
    assert await status_of(admin) == "unknown"
    assert json.loads(await admin.fetchval("select wa.claim_messages(10)")) == []


async def test_ops_may_send_an_unknown_message_again_and_a_late_report_still_settles_it(
    admin: asyncpg.Connection,
) -> None:
    await live(admin)
    message = await queued(admin)
    await outcome(admin, message, "unknown")
    assert await admin.fetchval("select wa.retry_message($1)", message["message_id"])
    assert await status_of(admin) == "queued"
    await reported(admin, [report("delivered", message_id=message["message_id"])])
    assert await status_of(admin) == "delivered"
    assert json.loads(await admin.fetchval("select wa.claim_messages(10)")) == []
    assert not await admin.fetchval("select wa.retry_message($1)", message["message_id"])


async def test_an_older_attempts_outcome_changes_nothing(admin: asyncpg.Connection) -> None:
    await live(admin)
    first = await queued(admin)
    await outcome(admin, first, "retry", code=130429)
    await admin.execute("update wa.messages set next_attempt_at = now()")
    [second] = json.loads(await admin.fetchval("select wa.claim_messages(10)"))
    assert second["attempt"] == 2
    assert await outcome(admin, first, "refused", code=100) == "sending"
    assert await outcome(admin, second, "accepted", "wamid.2") == "sent"


async def test_attempts_come_later_and_later_and_end(admin: asyncpg.Connection) -> None:
    await live(admin)
    message = await queued(admin)
    waits = []
    async with admin.transaction():  # in which now() stands still
        while await outcome(admin, message, "retry", code=131000) == "queued":
            wait = "select extract(epoch from next_attempt_at - now())::float from wa.messages"
            waits.append(await admin.fetchval(wait))
            await admin.execute("update wa.messages set next_attempt_at = now()")
            [message] = json.loads(await admin.fetchval("select wa.claim_messages(10)"))
    assert await status_of(admin) == "failed"
    assert len(waits) == 7
    assert all(2**n <= wait <= 1.25 * 2**n for n, wait in enumerate(waits, start=1))


async def test_a_number_on_hold_gets_nothing_for_a_day(admin: asyncpg.Connection) -> None:
    await live(admin)
    await outcome(admin, await queued(admin), "hold", code=131048)
    other = await queued(admin, claimed=False)
    await admin.execute("update wa.messages set next_attempt_at = now()")
    assert json.loads(await admin.fetchval("select wa.claim_messages(10)")) == []
    await admin.execute("update wa.contacts set hold_until = now()")
    claimed = json.loads(await admin.fetchval("select wa.claim_messages(10)"))
    assert other["id"] in {message["message_id"] for message in claimed}


@pytest.mark.parametrize(
    ("age", "sent_as"),
    [(None, "template"), (timedelta(hours=23, minutes=59), "text"), (timedelta(hours=24, seconds=1), "template")],
)
async def test_a_link_notice_is_free_text_for_24_hours_after_the_traveller_wrote(
    admin: asyncpg.Connection, age: timedelta | None, sent_as: str
) -> None:
    if age is not None:
        await written(admin, datetime.now(UTC) - age)
        await written(admin, datetime.now(UTC) - age - timedelta(days=1))  # an older one that came late
    assert (await queued(admin, link_template="link_notice"))["sent_as"] == sent_as
    assert (await queued(admin))["sent_as"] == "text"  # there is no template to go by


async def test_a_text_refused_outside_the_window_goes_again_as_a_template(admin: asyncpg.Connection) -> None:
    await live(admin)
    await written(admin, datetime.now(UTC))
    message = await queued(admin, link_template="link_notice")
    assert message["sent_as"] == "text"
    await outcome(admin, message, "accepted", "wamid.1")
    await reported(admin, [report("failed", code=131047)])
    [again] = json.loads(await admin.fetchval("select wa.claim_messages(10)"))
    assert (again["message_id"], again["sent_as"], again["attempt"]) == (message["message_id"], "template", 2)
    # What is still to come about the first attempt is not about the second.
    await outcome(admin, again, "retry", code=131000)
    await reported(admin, [report("sent", message_id=message["message_id"])])
    assert await status_of(admin) == "queued"


async def test_an_inbound_message_is_kept_once(admin: asyncpg.Connection) -> None:
    for _ in range(2):
        await written(admin, AT)
    assert await admin.fetchval("select count(*) from wa.messages where direction = 'in'") == 1


async def test_two_workers_share_what_is_due(database: str, admin: asyncpg.Connection) -> None:
    for _ in range(30):
        await queued(admin, claimed=False)
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(as_role(database, Role.SERVICE)) for _ in range(4)]
        claims = await asyncio.gather(*(worker.fetchval("select wa.claim_messages(10)") for worker in workers))
    claimed = [message["message_id"] for claim in claims for message in json.loads(claim)]
    assert len(claimed) == len(set(claimed)) == 30


async def test_no_illegal_move_is_made_whoever_tries(admin: asyncpg.Connection) -> None:
    message = await queued(admin)
    await outcome(admin, message, "accepted", "wamid.1")
    for status in ("sending", "unknown", "received"):
        with pytest.raises(asyncpg.PostgresError):
            await admin.execute("update wa.messages set status = $1", status)


@pytest.mark.parametrize("number", ["", "123", "0788120001", "25078812000a", "2" * 16, "+"])
async def test_a_number_that_is_none_is_refused_in_psql_too(admin: asyncpg.Connection, number: str) -> None:
    with pytest.raises(asyncpg.PostgresError, match=r"to must be a phone number in E\.164 digits"):
        await admin.execute("select public.send_message('text', $1, 'x')", number)


async def test_only_the_service_sends_and_only_ops_read(database: str, admin: asyncpg.Connection) -> None:
    await queued(admin)
    for role, user in ((Role.ANONYMOUS, None), (Role.USER, OPS_USER)):
        async with as_role(database, role, user) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await queued(connection)
    async with as_role(database, Role.USER, TRAVELLER) as traveller:
        assert not await traveller.fetch("select * from wa.messages")
    async with as_role(database, Role.USER, OPS_USER) as ops:
        assert await ops.fetchval("select count(*) from wa.messages") == 1


async def test_neither_audit_nor_exceptions_hold_personal_data(admin: asyncpg.Connection) -> None:
    await live(admin)
    await outcome(admin, await queued(admin), "refused", code=131026)
    await written(admin, AT)
    kept = await admin.fetchval(
        "select (select json_agg(e)::text from audit.events e) || (select json_agg(x)::text from ops.exceptions x)"
    )
    for secret in (NUMBER, "Your invoice", "x.example", 'hi"'):
        assert secret not in kept
