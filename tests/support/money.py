"""Payments whose money has come in and refunds that have gone out, without an endpoint."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from tests.conftest import ITINERARY

CAPTURED = """
with payments as (
  insert into payment.payments
    (itinerary_id, amount_cents, currency, status, mode, intent_id, provider_ref, idempotency_key, captured_cents)
  select $1::uuid, $2::bigint, $3::text, 'succeeded', 'mock', 'pi_' || n, 'pi_' || n, 'key_' || n, $2
  from generate_series(1, $4::int) n
  returning id, intent_id
) select id from payments
"""


async def captured(
    admin: asyncpg.Connection,
    many: int = 1,
    cents: int = 25000,
    currency: str = "USD",
    itinerary: str | None = ITINERARY,
) -> list[UUID]:
    """Payments whose money has come in."""
    rows = await admin.fetch(CAPTURED, itinerary, cents, currency, many)
    return [row["id"] for row in rows]


async def refunded(admin: asyncpg.Connection, payment: UUID, cents: int) -> UUID:
    """A refund's id, from its request to its success."""
    if not await admin.fetchval("select exists (select from fin.entries where payment_id = $1)", payment):
        await admin.execute(
            "select fin.append_entry(p, 'intent_created', p.amount_cents, p.intent_id),"
            " fin.append_entry(p, 'capture_succeeded', p.amount_cents, p.intent_id, 'provider_clearing', 'payment')"
            " from payment.payments p where p.id = $1",
            payment,
        )
    refund = await admin.fetchval("select id from payment.request_refund($1, $2)", payment, cents)
    await admin.execute("select payment.settle_refund($1, 'succeeded', $2)", refund, f"re_{refund}")
    assert isinstance(refund, UUID)
    return refund
