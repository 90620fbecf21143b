"""Stripe, Hotelbeds and WhatsApp away at once, then back; and a worker that dies with work in all their hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from src.settings import OFFLINE_SWITCHES
from tests.conftest import CHECKOUT, Api
from tests.fakes.hbx.server import FakeHbx
from tests.fakes.stripe import FakeStripe
from tests.fakes.whatsapp import FakeWhatsApp
from tests.fakes.wire import Door, Handler, listening
from tests.support.escrows import met_escrows
from tests.support.postgres import JWT_SECRET
from tests.support.processes import TIMEOUT, ServerProcess, command, environment, free_port, server
from tests.support.races import post, until
from tests.support.webhooks import SECRET, tell

pytestmark = pytest.mark.heavy

STAY = {"check_in": "2030-06-03", "check_out": "2030-06-06", "pax": {"adults": 2}}
NOTICE = {"type": "text", "to": "+250788120001", "text": "Your guide waits at the gate"}
# All pauses and leases end.
TIME_PASSES = """
update payment.payments set next_attempt_at = now() where next_attempt_at is not null;
update payment.refunds set next_attempt_at = now() where next_attempt_at is not null;
update "group".payouts set next_attempt_at = now() where next_attempt_at is not null;
update "group".payouts set locked_until = now() where locked_until is not null;
update wa.messages set next_attempt_at = now() where next_attempt_at is not null;
update wa.messages set locked_until = now() where locked_until is not null;
update inventory.circuit set cooldown_until = now();
"""
UNDER_WAY = """
select exists (select from payment.payments where intent_id is null)
  or exists (select from payment.refunds where status = 'pending')
  or exists (select from "group".escrows where status = 'met')
  or exists (select from wa.messages where status in ('queued', 'sending'))
"""


@dataclass
class World:
    """A database, and providers that can go away and come back at the same address."""

    database: str
    admin: asyncpg.Connection
    folder: Path
    stripe: FakeStripe = field(default_factory=FakeStripe)
    hbx: FakeHbx = field(default_factory=FakeHbx)
    whatsapp: FakeWhatsApp = field(default_factory=FakeWhatsApp)
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(3)])

    @asynccontextmanager
    async def providers(self, **doors: Handler) -> AsyncIterator[None]:
        """They answer for the length of the block; `doors` stand in for some of them."""
        handlers = [doors.get(name, getattr(self, name)) for name in ("stripe", "hbx", "whatsapp")]
        async with AsyncExitStack() as open_providers:
            for handler, port in zip(handlers, self.ports, strict=True):
                await open_providers.enter_async_context(listening(handler, port))
            yield

    @property
    def live(self) -> Mapping[str, str]:
        stripe, hbx, whatsapp = (f"http://127.0.0.1:{port}" for port in self.ports)
        return {
            "STRIPE_MOCK_MODE": "0",
            "INVENTORY_OFFLINE": "0",
            "WA_OFFLINE": "0",
            "OPS_REFUND_MODE": "live",
            "STRIPE_SECRET_KEY": "sk_test",
            "STRIPE_API_BASE": stripe,
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "STRIPE_PAYOUT_ACCOUNT": "acct_operator",
            "HBX_BASE_URL": hbx,
            "HBX_API_KEY": self.hbx.key,
            "HBX_API_SECRET": self.hbx.secret,
            "WA_GRAPH_BASE": whatsapp,
            "WA_PHONE_ID": self.whatsapp.phone_id,
            "WA_ACCESS_TOKEN": self.whatsapp.token,
            "WA_LINK_TEMPLATE": "link_notice",
        }

    def serving(self) -> AbstractContextManager[ServerProcess]:
        return server(self.database, self.folder, **self.live)

    def working(self) -> AbstractContextManager[ServerProcess]:
        given = {**OFFLINE_SWITCHES, "DATABASE_URL": self.database, "JWT_SECRET": JWT_SECRET, **self.live}
        return command(self.folder, "worker", ready="worker started", env=environment(**given))

    async def captured(self, running: ServerProcess, cents: int) -> str:
        """A payment whose money Stripe has taken; its id."""
        answer = (await post(running, "bff-checkout", Api.anonymous, **{**CHECKOUT, "amount_cents": cents})).json()
        self.stripe.confirm(answer["payment_intent"])
        await tell(running, self.stripe)
        return str(answer["payment_id"])

    async def settled(self) -> None:
        """The worker has nothing left to do, though its pauses pass as soon as they begin."""
        async with asyncio.timeout(TIMEOUT):
            while await self.admin.fetchval(UNDER_WAY):
                await self.admin.execute(TIME_PASSES)
                await asyncio.sleep(0.2)

    async def require_sound(self) -> None:
        unresolved = "select kind from ops.exceptions where status <> 'resolved' and cause !~ '^demo'"
        assert [tuple(row) for row in await self.admin.fetch(unresolved)] == []
        assert await self.admin.fetch("select * from fin.verify_ledger()") == []


@pytest.fixture
def world(database: str, admin: asyncpg.Connection, tmp_path: Path) -> World:
    return World(database, admin, tmp_path)


async def test_what_is_asked_while_all_providers_are_away_is_done_once_when_they_are_back(world: World) -> None:
    with world.serving() as running, world.working():
        async with world.providers():
            payment = await world.captured(running, 7000)
        refund = {"payment_id": payment, "amount_cents": 500, "reason": "asked"}
        await met_escrows(world.admin, 1)
        answers = [
            await post(running, "bff-checkout", Api.anonymous, **CHECKOUT),
            await post(running, "payments-refund", Api.service, **refund),
            await post(running, "wa-send", Api.service, **NOTICE),
            await post(running, "inventory-search", Api.anonymous, city="Kigali", **STAY),
        ]
        assert [(answer.status_code, answer.json().get("code")) for answer in answers] == [
            (502, "PAYMENT_PROVIDER_ERROR"),
            (202, None),
            (202, None),
            (504, "SUPPLIER_TIMEOUT"),
        ]
        tried = 'select exists (select from "group".payouts where attempts > 0)'
        await until(lambda: world.admin.fetchval(tried))
        async with world.providers():
            await world.settled()
            again = await post(running, "bff-checkout", Api.anonymous, **CHECKOUT)
            assert (again.status_code, again.json()["payment_intent"] in world.stripe.intents) == (200, True)
            found = await post(running, "inventory-search", Api.anonymous, city="Kigali", **STAY)
            assert (found.status_code, found.json()["source"]) == (200, "HBX")
    # Two checkouts: the one before and the one that was refused.
    assert len(world.stripe.intents) == 2
    assert [made["amount"] for made in world.stripe.refunds.values()] == [500]
    assert [made["amount"] for made in world.stripe.transfers.values()] == [500]
    assert len(world.whatsapp.taken) == 1
    await world.require_sound()


async def test_a_worker_killed_in_the_middle_of_all_its_sweeps_leaves_each_work_to_be_done_once(world: World) -> None:
    stripe, whatsapp = Door(world.stripe), Door(world.whatsapp)
    with world.serving() as running:
        async with world.providers():
            payment = await world.captured(running, 7000)
        refund = {"payment_id": payment, "amount_cents": 500, "reason": "asked"}
        assert (await post(running, "payments-refund", Api.service, **refund)).status_code == 202
        assert (await post(running, "wa-send", Api.service, **NOTICE)).status_code == 202
    await met_escrows(world.admin, 1)
    stripe.held = whatsapp.held = True
    async with world.providers(stripe=stripe, whatsapp=whatsapp):
        with world.working() as worker:
            async with asyncio.timeout(TIMEOUT):
                while not (world.stripe.refunds and world.stripe.transfers and world.whatsapp.taken):
                    await world.admin.execute(TIME_PASSES)
                    await asyncio.sleep(0.2)
            worker.kill()
        for door in (stripe, whatsapp):
            door.held = False
            door.opened.set()
        with world.working():
            await world.settled()
    assert [made["amount"] for made in world.stripe.refunds.values()] == [500]
    assert [made["amount"] for made in world.stripe.transfers.values()] == [500]
    # Nobody knows whether it went out, so it is for WhatsApp's report or for ops, and never sent again by itself.
    assert len(world.whatsapp.taken) == 1
    assert await world.admin.fetchval("select status from wa.messages") == "unknown"
    await world.admin.execute("update ops.exceptions set status = 'resolved' where kind = 'message'")
    await world.require_sound()
