"""kill -9 of the server between the intent of a payment or a refund and its outcome: nothing is lost or made twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.conftest import ITINERARY, Api
from tests.fakes.stripe import FakeStripe, signed
from tests.fakes.wire import Door, listening
from tests.processes import ServerProcess, ended, server
from tests.races import PATIENCE, killed, post

SECRET = "whsec_crash"
CHECKOUT = {"itinerary_id": ITINERARY, "amount_cents": 25000, "currency": "USD"}
# Where the server dies: the provider has not begun; it has done the work but not answered; its answer has come but is
# not committed.
UNREACHED, UNANSWERED, UNRECORDED = "before the provider", "before its answer", "before our commit"
POINTS = [UNREACHED, UNANSWERED, UNRECORDED]


@dataclass
class World:
    """A database, the provider, and a server that may die."""

    database: str
    admin: asyncpg.Connection
    folder: Path
    stripe: FakeStripe
    door: Door
    address: str

    @property
    def live(self) -> dict[str, str]:
        return {
            "STRIPE_MOCK_MODE": "0",
            "STRIPE_SECRET_KEY": "sk_test",
            "STRIPE_API_BASE": self.address,
            "STRIPE_WEBHOOK_SECRET": SECRET,
        }

    def serving(self) -> AbstractContextManager[ServerProcess]:
        return server(self.database, self.folder, **self.live)

    async def sweep(self) -> None:
        """A minute and more goes by; then the worker takes one turn."""
        for table in ("payment.payments", "payment.refunds"):
            await self.admin.execute(f"update {table} set next_attempt_at = now() where next_attempt_at is not null")
        await self.admin.execute("update ops.idempotency_keys set locked_until = now() - interval '1 second'")
        status, output = await ended("worker", "--once", DATABASE_URL=self.database, **self.live)
        assert status == 0, output

    async def die(self, running: ServerProcess, at: str, request: Awaitable[httpx.Response]) -> None:
        """Send the request and kill the server at the point."""
        stripe = self.stripe
        self.door.shut = at == UNREACHED
        stripe.reached.clear()
        stripe.held = asyncio.Event()
        asking = asyncio.ensure_future(request)
        await asyncio.wait_for((self.door.knocked if self.door.shut else stripe.reached).wait(), PATIENCE)
        if at == UNRECORDED:
            async with self.admin.transaction():
                await self.admin.execute("select from payment.payments for update")
                stripe.held.set()
                await killed(running, self.admin, asking)
        else:
            running.kill()
            with pytest.raises(httpx.TransportError):
                await asking
        self.door.opened.set()
        stripe.held.set()
        stripe.held, self.door.shut = None, False

    async def facts(self) -> list[str]:
        return [row["entry_type"] for row in await self.admin.fetch("select entry_type from fin.ledger order by seq")]

    async def sums(self) -> tuple[int, int, int]:
        row = await self.admin.fetchrow(
            "select captured_cents, refunded_cents, refund_pending_cents from payment.payments"
        )
        assert row is not None
        return row[0], row[1], row[2]


@pytest.fixture
async def world(database: str, admin: asyncpg.Connection, tmp_path: Path) -> AsyncIterator[World]:
    stripe = FakeStripe()
    door = Door(stripe)
    async with listening(door) as address:
        yield World(database, admin, tmp_path, stripe, door, address)


async def tell(running: ServerProcess, stripe: FakeStripe) -> None:
    """Every event of the provider, also those that it sent before."""
    async with httpx.AsyncClient(base_url=running.address, timeout=PATIENCE) as client:
        for event in stripe.events:
            answer = await client.post("/functions/v1/stripe-webhook", **signed(event, SECRET))
            assert (answer.status_code, answer.json()["result"] in ("applied", "duplicate")) == (200, True), answer.text


def quick(point: str) -> Callable[[Any], Any]:
    """All points, of which only one in the quick suite."""
    marked = [pytest.param(each, marks=[] if each == point else pytest.mark.heavy) for each in POINTS]
    return pytest.mark.parametrize("at", marked)


@quick(UNRECORDED)
async def test_a_server_that_dies_in_a_checkout_leaves_one_intent(world: World, at: str) -> None:
    stripe = world.stripe
    with world.serving() as running:
        await world.die(running, at, post(running, "bff-checkout", Api.anonymous, **CHECKOUT))
    assert len(stripe.intents) == (at != UNREACHED)
    assert await world.admin.fetchval("select intent_id is null from payment.payments where status = 'processing'")
    with world.serving() as running:
        await world.sweep()
        (intent,) = stripe.intents
        assert await world.admin.fetchval("select intent_id from payment.payments") == intent
        answer = (await post(running, "bff-checkout", Api.anonymous, **CHECKOUT)).json()
        assert (answer["payment_intent"], answer["client_secret"]) == (intent, stripe.intents[intent]["client_secret"])
        stripe.confirm(intent)
        await tell(running, stripe)
    assert list(stripe.intents) == [intent]
    assert await world.facts() == ["intent_created", "capture_succeeded"]
    assert await world.sums() == (stripe.intents[intent]["amount_received"], 0, 0)
    assert await world.admin.fetch("select * from fin.verify_ledger()") == []


@quick(UNANSWERED)
async def test_a_server_that_dies_in_a_refund_leaves_one_refund(world: World, at: str) -> None:
    stripe = world.stripe
    with world.serving() as running:
        payment = (await post(running, "bff-checkout", Api.anonymous, **CHECKOUT)).json()
        stripe.confirm(payment["payment_intent"])
        await tell(running, stripe)
        asked = {"payment_id": payment["payment_id"], "amount_cents": 5000}
        headers = Api.service | {"idempotency-key": "refund-once"}
        await world.die(running, at, post(running, "payments-refund", headers, **asked))
    assert len(stripe.refunds) == (at != UNREACHED)
    assert await world.sums() == (25000, 0, 5000)
    with world.serving() as running:
        await world.sweep()
        (refund,) = stripe.refunds.values()
        assert await world.sums() == (25000, 5000, 0)
        again = (await post(running, "payments-refund", headers, **asked)).json()
        assert (again["refund_id"], again["status"]) == (refund["metadata"]["refund_id"], "refunded")
        await tell(running, stripe)
    assert list(stripe.refunds) == [refund["id"]]
    assert await world.facts() == ["intent_created", "capture_succeeded", "refund_requested", "refund_succeeded"]
    assert await world.sums() == (25000, stripe.refunded(payment["payment_intent"]), 0)
    assert await world.admin.fetch("select * from fin.verify_ledger()") == []
