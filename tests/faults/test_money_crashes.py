"""kill -9 of the server between the intent of a payment or a refund and its outcome: nothing is lost or made twice."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.conftest import CHECKOUT, ITINERARY, OPS_USER, Api
from tests.fakes.stripe import FakeStripe, live_settings
from tests.fakes.wire import Door, listening
from tests.support.postgres import settings
from tests.support.processes import TIMEOUT, ServerProcess, exit_code, server, worker_turn
from tests.support.races import killed_waiting, post
from tests.support.webhooks import SECRET, tell

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
            "OPS_REFUND_MODE": "live",
        }

    def worker(self) -> BaseProcess:
        """One that takes a turn."""
        return worker_turn(settings(self.database, **live_settings(self.address)))

    def serving(self) -> AbstractContextManager[ServerProcess]:
        return server(self.database, self.folder, **self.live)

    async def let_time_pass(self) -> None:
        """A minute and more goes by."""
        for table in ("payment.payments", "payment.refunds"):
            await self.admin.execute(f"update {table} set next_attempt_at = now() where next_attempt_at is not null")
        await self.admin.execute("update ops.idempotency_keys set locked_until = now() - interval '1 second'")

    async def sweep(self) -> None:
        """Then the worker takes one turn."""
        await self.let_time_pass()
        assert await exit_code(self.worker()) == 0

    async def die(self, dying: ServerProcess | BaseProcess, at: str) -> None:
        """Kill the process, which has just been given something to do, at the point."""
        stripe = self.stripe
        self.door.shut = at == UNREACHED
        stripe.reached.clear()
        stripe.held = asyncio.Event()
        await asyncio.wait_for((self.door.knocked if self.door.shut else stripe.reached).wait(), TIMEOUT)
        if at == UNRECORDED:
            async with self.admin.transaction():
                await self.admin.execute("select from payment.payments for update")
                stripe.held.set()
                await killed_waiting(dying, self.admin)
        else:
            dying.kill()
        self.door.opened.set()
        stripe.held.set()
        stripe.held, self.door.shut = None, False

    async def die_answering(self, running: ServerProcess, at: str, request: Awaitable[httpx.Response]) -> None:
        """Send the request and kill the server at the point."""
        asking = asyncio.ensure_future(request)
        await self.die(running, at)
        with pytest.raises(httpx.TransportError):
            await asking

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


def quick(point: str) -> Callable[[Any], Any]:
    """All points, of which only one in the quick suite."""
    marked = [pytest.param(each, marks=[] if each == point else pytest.mark.heavy) for each in POINTS]
    return pytest.mark.parametrize("at", marked)


@quick(UNRECORDED)
async def test_a_server_that_dies_in_a_checkout_leaves_one_intent(world: World, at: str) -> None:
    stripe = world.stripe
    with world.serving() as running:
        await world.die_answering(running, at, post(running, "bff-checkout", Api.anonymous, **CHECKOUT))
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


@pytest.mark.parametrize("function", ["payments-refund", pytest.param("ops-refund", marks=pytest.mark.heavy)])
@quick(UNANSWERED)
async def test_a_server_that_dies_in_a_refund_leaves_one_refund(world: World, at: str, function: str) -> None:
    stripe = world.stripe
    with world.serving() as running:
        payment = (await post(running, "bff-checkout", Api.anonymous, **CHECKOUT)).json()
        stripe.confirm(payment["payment_intent"])
        await tell(running, stripe)
        by_ops = function == "ops-refund"
        asked = {"itinerary_id": ITINERARY} if by_ops else {"payment_id": payment["payment_id"]}
        asked |= {"amount_cents": 5000, "reason": "guest_cancelled"}
        headers = (Api.user(OPS_USER) if by_ops else Api.service) | {"idempotency-key": "refund-once"}
        await world.die_answering(running, at, post(running, function, headers, **asked))
    assert len(stripe.refunds) == (at != UNREACHED)
    assert await world.sums() == (25000, 0, 5000)
    with world.serving() as running:
        await world.sweep()
        (refund,) = stripe.refunds.values()
        assert await world.sums() == (25000, 5000, 0)
        again = (await post(running, function, headers, **asked)).json()
        assert (again["refund_id"], again["status"]) == (refund["metadata"]["refund_id"], "refunded")
        await tell(running, stripe)
    assert list(stripe.refunds) == [refund["id"]]
    assert await world.facts() == ["intent_created", "capture_succeeded", "refund_requested", "refund_succeeded"]
    assert await world.sums() == (25000, stripe.refunded(payment["payment_intent"]), 0)
    assert await world.admin.fetch("select * from fin.verify_ledger()") == []


@pytest.mark.heavy
@pytest.mark.parametrize("at", POINTS)
async def test_a_worker_that_dies_between_intent_and_outcome_leaves_one_of_each(world: World, at: str) -> None:
    admin, stripe = world.admin, world.stripe
    payment = json.loads(await admin.fetchval("select start_checkout($1, 25000, 'USD', 'k')", ITINERARY))["payment_id"]

    async def worker_dies() -> None:
        await world.let_time_pass()
        worker = world.worker()
        await world.die(worker, at)
        assert await exit_code(worker) == -signal.SIGKILL

    await worker_dies()
    assert len(stripe.intents) == (at != UNREACHED)
    await world.sweep()
    (intent,) = stripe.intents
    assert await admin.fetchval("select intent_id from payment.payments") == intent
    stripe.confirm(intent)
    await admin.execute("select payment.capture(p) from payment.payments p")
    await admin.execute("select request_refund($1, 5000)", UUID(payment))
    await worker_dies()
    assert len(stripe.refunds) == (at != UNREACHED)
    assert await world.sums() == (25000, 0, 5000)
    await world.sweep()
    assert (len(stripe.intents), len(stripe.refunds)) == (1, 1)
    assert await world.facts() == ["intent_created", "capture_succeeded", "refund_requested", "refund_succeeded"]
    assert await world.sums() == (25000, stripe.refunded(intent), 0)
    assert await admin.fetch("select * from fin.verify_ledger()") == []
