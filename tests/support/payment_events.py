"""A provider's events about one payment, as SQL takes them."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import asyncpg

APPLY = """
select apply_payment_event(
  $1, $2, '{}', true, to_timestamp($3::int), $4, $5, $6, null, $7, 'usd', $8
)
"""
# Type, provider's time, object, amount, object's status.
Event = tuple[str, int, str, int, str | None]
PAID = ("payment_intent.succeeded", 5, "pi", 25000, None)
MADE = ("refund.created", 7, "re_1", 5000, "pending")
DONE = ("refund.updated", 8, "re_1", 5000, "succeeded")
OPENED = ("charge.dispute.created", 10, "du_1", 25000, "needs_response")
LOST = ("charge.dispute.closed", 11, "du_1", 25000, "lost")


async def payment(admin: asyncpg.Connection) -> UUID:
    await admin.execute("insert into ops.switch_defaults values ('USE_FIXTURES', '1') on conflict do nothing")
    made = json.loads(await admin.fetchval("select start_checkout($1, 25000, 'USD', $2)", uuid4(), uuid4().hex))
    return UUID(made["payment_id"])


async def told(admin: asyncpg.Connection, owner: UUID, event: Event) -> str:
    kind, at, subject, cents, status = event
    intent = f"pi-{owner}"
    subject = intent if subject == "pi" else f"{subject}-{owner}"
    identity = f"{kind}-{subject}"
    return str(
        json.loads(await admin.fetchval(APPLY, identity, kind, at, subject, owner, intent, cents, status))["result"]
    )
