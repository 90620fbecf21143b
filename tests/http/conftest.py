from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest

from src.adapters.postgres.payments import PostgresPayments
from src.adapters.postgres.refunds import PostgresRefunds
from src.composition import compose
from src.domain.payments import finish_due
from src.domain.refunds import settle_due
from tests.conftest import CHECKOUT, SERVICE_CONTEXT, Api, serving
from tests.fakes.stripe import FakeStripe, live_settings, signed
from tests.fakes.wire import listening
from tests.support import postgres

OLD, NEW = "whsec_old", "whsec_new"


@dataclass
class Live:
    """The application in live mode with its provider."""

    api: Api
    stripe: FakeStripe
    database: str
    admin: asyncpg.Connection
    changes: dict[str, object]

    async def checkout(self, **changes: object) -> httpx.Response:
        return await self.api.post("bff-checkout", CHECKOUT | changes)

    async def refund(self, payment: dict[str, Any], cents: int = 5000) -> httpx.Response:
        asked = {"payment_id": payment["payment_id"], "amount_cents": cents}
        return await self.api.post("payments-refund", asked, Api.service)

    async def tell(self, event: dict[str, Any], *secrets: str, at: float | None = None) -> httpx.Response:
        return await self.send(**signed(event, *(secrets or (NEW,)), at=at))

    async def send(self, **request: Any) -> httpx.Response:
        return await self.api.http.post("/functions/v1/stripe-webhook", **request)

    async def paid(self, **changes: object) -> dict[str, Any]:
        payment: dict[str, Any] = (await self.checkout(**changes)).json()
        self.stripe.confirm(payment["payment_intent"])
        assert (await self.tell(self.stripe.events[-1])).json()["result"] == "applied"
        return payment

    async def sweep(self) -> tuple[int, int]:
        """A minute goes by; then the worker's turn. How many payments and refunds it looked at."""
        for table in ("payment.payments", "payment.refunds"):
            await self.admin.execute(f"update {table} set next_attempt_at = now() where next_attempt_at is not null")
        composed = compose(postgres.settings(self.database, **self.changes))
        try:
            return (
                await finish_due(SERVICE_CONTEXT, PostgresPayments(composed.database), composed.stripe),
                await settle_due(SERVICE_CONTEXT, PostgresRefunds(composed.database), composed.stripe),
            )
        finally:
            await composed.close()

    async def sums(self) -> tuple[int, ...]:
        row = await self.admin.fetchrow(
            "select captured_cents, refunded_cents, refund_pending_cents from payment.payments"
        )
        assert await self.admin.fetch("select * from fin.verify_ledger()") == []
        return tuple(row or ())


@pytest.fixture
async def live(database: str, admin: asyncpg.Connection) -> AsyncIterator[Live]:
    fake = FakeStripe()
    async with listening(fake) as address:
        changes = live_settings(address, stripe_webhook_secrets=(OLD, NEW))
        async with serving(database, **changes) as api:
            yield Live(api, fake, database, admin, changes)
