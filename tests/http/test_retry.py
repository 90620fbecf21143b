"""`ops-exceptions-retry` (API.md section 2): what failed is queued again."""

from __future__ import annotations

from uuid import uuid4

import asyncpg

from tests.conftest import Api

FAILED = """
with message as (
  insert into wa.messages (direction, mode, type, msisdn, body, status, failed_at)
  values ('out', 'mock', 'text', '250788123456', 'Hello', 'failed', now()) returning id
)
insert into ops.exceptions (kind, cause, last_error) select 'message', id::text, 'undeliverable' from message
returning id, cause
"""


async def test_a_failed_message_is_queued_again(api: Api, admin: asyncpg.Connection) -> None:
    row = await admin.fetchrow(FAILED)
    assert row is not None
    answer = await api.post("ops-exceptions-retry", {"exception_id": str(row["id"]), "note": "number checked"}, api.ops)
    body = answer.json()
    assert (answer.status_code, body["exception_id"], body["status"]) == (200, str(row["id"]), "retrying")
    assert await admin.fetchval("select status from wa.messages where id = $1::uuid", row["cause"]) == "queued"


async def test_only_what_is_unresolved_is_retried_and_only_by_ops(api: Api, admin: asyncpg.Connection) -> None:
    resolved = await admin.fetchval("select id from ops.exceptions where status = 'resolved' limit 1")
    body = {"exception_id": str(resolved)}
    assert (await api.post("ops-exceptions-retry", body, api.ops)).status_code == 409
    assert (await api.post("ops-exceptions-retry", body, api.user())).status_code == 403
    assert (await api.post("ops-exceptions-retry", body)).status_code == 401
    assert (await api.post("ops-exceptions-retry", {"exception_id": str(uuid4())}, api.ops)).status_code == 404
