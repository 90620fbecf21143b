"""Many workers, kill -9 among them: each met escrow is paid out by exactly one transfer."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import Api, serving
from tests.fakes.stripe import FakeStripe, live_settings
from tests.fakes.wire import Reply, Request, listening
from tests.support.escrows import met_escrows
from tests.support.postgres import JWT_SECRET, settings
from tests.support.processes import command, environment, exit_code, worker_turn
from tests.support.races import until

pytestmark = pytest.mark.heavy

BATCH = 20
KILLS = 20
ALL_PAID_OUT = "select not exists (select from \"group\".escrows where status = 'met')"


@dataclass
class Provider:
    """The fake, which kills the worker whose number its key ends with after so many of its transfers, unanswered.

    It answers after a moment, so that a worker dies with some of its payouts recorded, some answered, some not.
    """

    stripe: FakeStripe = field(default_factory=FakeStripe)
    fuses: dict[str, int] = field(default_factory=dict)
    workers: dict[str, BaseProcess] = field(default_factory=dict)
    slowness: float = 0.0

    async def __call__(self, request: Request) -> Reply:
        reply = await self.stripe(request)
        await asyncio.sleep(self.slowness * random.random())
        key = request.headers["authorization"].rpartition("_")[2]
        if key in self.fuses:
            self.fuses[key] -= 1
            if self.fuses[key] == 0:
                self.workers[key].kill()
        return reply


@dataclass
class World:
    database: str
    admin: asyncpg.Connection
    provider: Provider
    address: str
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    def live(self, number: str) -> dict[str, object]:
        """Settings of a process that pays out for real; its number is the end of its key."""
        return live_settings(self.address, stripe_secret_key=f"sk_{number}", stripe_payout_account="acct_operator")

    def worker(self, number: str) -> BaseProcess:
        return worker_turn(settings(self.database, **self.live(number)))

    async def let_time_pass(self) -> None:
        """Every lease runs out, the ones of living workers too, and every pause ends."""
        lapse = "update \"group\".payouts set locked_until = now(), next_attempt_at = now() where status = 'processing'"
        async with self.alone:
            await self.admin.execute(lapse)

    async def paid_exactly_once(self, count: int) -> None:
        paid = Counter(transfer["metadata"]["escrow_id"] for transfer in self.provider.stripe.transfers.values())
        assert (len(paid), max(paid.values())) == (count, 1)
        booked = await self.admin.fetch(
            'select p.provider_ref, e.id::text from "group".escrows e join "group".payouts p on p.escrow_id = e.id'
            " where e.status = 'paid_out' and p.status = 'succeeded' and p.total_cents = 500"
        )
        transfers = self.provider.stripe.transfers
        assert {row[1]: row[0] for row in booked} == {t["metadata"]["escrow_id"]: t["id"] for t in transfers.values()}
        assert await self.admin.fetchval("select count(*) from audit.events where what = 'payout.succeeded'") == count
        unresolved = "select from ops.exceptions where kind = 'payout' and status <> 'resolved' and cause !~ '^demo'"
        assert await self.admin.fetch(unresolved) == []
        assert await self.admin.fetch("select * from fin.verify_ledger()") == []


@pytest.fixture
async def world(database: str, admin: asyncpg.Connection) -> AsyncIterator[World]:
    provider = Provider()
    async with listening(provider) as address:
        yield World(database, admin, provider, address)


async def test_two_workers_and_payout_now_make_a_thousand_payouts_once_each(world: World, tmp_path: Path) -> None:
    count = 1000
    await met_escrows(world.admin, count)
    escrows = [row[0] for row in await world.admin.fetch('select id::text from "group".escrows order by random()')]
    stripe = world.provider.stripe
    stripe.held = asyncio.Event()
    answers: Counter[str] = Counter()

    async def press(api: Api, mine: list[str]) -> None:
        for escrow in mine:
            answer = await api.post("groups-ops-payout-now", {"escrow_id": escrow}, api.ops)
            answers[answer.json().get("payout_status", answer.text)] += 1

    env = environment(
        DATABASE_URL=world.database,
        JWT_SECRET=JWT_SECRET,
        STRIPE_SECRET_KEY="sk_worker",
        STRIPE_API_BASE=world.address,
        STRIPE_PAYOUT_ACCOUNT="acct_operator",
    )
    with ExitStack() as workers:
        for _ in range(2):
            workers.enter_context(command(tmp_path, "worker", ready="worker started", env=env))
        async with serving(world.database, **world.live("ops")) as api:
            pressing = asyncio.gather(*(press(api, escrows[each:250:8]) for each in range(8)))
            # Nobody is answered before both workers and an operator have payouts in the provider's hands.
            await until(lambda: len(stripe.transfers) > 2 * BATCH)
            stripe.held.set()
            await pressing
            await until(lambda: world.admin.fetchval(ALL_PAID_OUT))
    assert set(answers) <= {"succeeded", "processing"}
    await world.paid_exactly_once(count)


async def test_workers_killed_between_the_provider_and_the_commit_pay_once_each(world: World) -> None:
    abreast, longest = 2, 12
    world.provider.slowness = 0.05
    # What all of them can finish before they die, and what the others hold: there is work for each.
    count = KILLS * longest + abreast * BATCH
    await met_escrows(world.admin, count)
    places = asyncio.Semaphore(abreast)

    async def live_and_die(number: str) -> None:
        async with places:
            world.provider.fuses[number] = random.randint(1, longest)
            world.provider.workers[number] = worker = world.worker(number)
            assert await exit_code(worker) == -signal.SIGKILL
            await world.let_time_pass()

    await asyncio.gather(*(live_and_die(str(number)) for number in range(KILLS)))
    world.provider.slowness = 0
    last = world.worker("last")
    assert await exit_code(last) == 0
    await world.paid_exactly_once(count)
