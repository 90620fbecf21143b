"""The service in live mode with a provider whose calls may end in every way there is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from src.adapters.postgres.ledger import PostgresLedger
from src.adapters.postgres.payments import PostgresPayments
from src.adapters.postgres.refunds import PostgresRefunds
from src.adapters.postgres.webhooks import PostgresWebhooks
from src.adapters.stripe.live import LiveStripe
from src.composition import compose
from src.domain.errors import ProviderUnknown
from src.domain.payments import Intent, Payment
from src.domain.refunds import Refund, RefundOutcome
from tests.conftest import Api, serving
from tests.fakes.stripe import FakeStripe, live_settings
from tests.fakes.wire import listening
from tests.support import postgres

SECRET = "whsec_histories"
# What becomes of a call of the provider: it works, is refused, its answer does not come, or our process dies with all
# that it has not committed, before or after the provider's work.
FATES = ["works", "refused", "lost before", "lost after", "death before", "death after"]
T = TypeVar("T")


class Death(Exception):
    """Of our process."""


@dataclass
class Fateful:
    """Stripe's adapter, whose next call may not go well."""

    live: LiveStripe
    stripe: FakeStripe
    fate: str = "works"

    async def create_intent(self, payment: Payment) -> Intent:
        return await self._met(lambda: self.live.create_intent(payment))

    async def find_intent(self, intent_id: str) -> Intent:
        return await self._met(lambda: self.live.find_intent(intent_id))

    async def refund(self, refund: Refund) -> RefundOutcome:
        return await self._met(lambda: self.live.refund(refund))

    async def _met(self, work: Callable[[], Awaitable[T]]) -> T:
        (what, _, when), self.fate = self.fate.partition(" "), "works"
        if what == "refused":
            # By Stripe, which does not refuse what it has done under the same key.
            self.stripe.plan.append(400)
        try:
            answer = await work() if when != "before" else None
        finally:
            self.stripe.plan.clear()
        if what == "lost":
            raise ProviderUnknown(what, what)
        if what == "death" or answer is None:
            raise Death
        return answer


@dataclass
class World:
    """The service and the provider."""

    runner: asyncio.Runner
    admin: asyncpg.Connection
    api: Api
    stripe: FakeStripe
    provider: Fateful
    payments: PostgresPayments
    refunds: PostgresRefunds
    webhooks: PostgresWebhooks
    ledger: PostgresLedger

    def now(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return self.runner.run(awaited())

    def value(self, query: str, *arguments: object) -> Any:
        return self.now(self.admin.fetchval(query, *arguments))


@contextmanager
def world(server: postgres.Server, template: str) -> Iterator[World]:
    """A world of its own."""

    async def begin(life: AsyncExitStack, runner: asyncio.Runner) -> World:
        dsn = await server.create(template)
        life.push_async_callback(server.drop, dsn)
        admin = await asyncpg.connect(dsn)
        life.push_async_callback(admin.close)
        fake = FakeStripe()
        address = await life.enter_async_context(listening(fake))
        changes = live_settings(address, stripe_webhook_secrets=(SECRET,))
        composed = compose(postgres.settings(dsn, **changes))
        life.push_async_callback(composed.close)
        database = composed.database
        return World(
            runner,
            admin,
            await life.enter_async_context(serving(dsn, **changes)),
            fake,
            Fateful(composed.live_stripe, fake),
            PostgresPayments(database),
            PostgresRefunds(database),
            PostgresWebhooks(database),
            PostgresLedger(database),
        )

    with asyncio.Runner() as runner:
        life = AsyncExitStack()
        try:
            yield runner.run(begin(life, runner))
        finally:
            runner.run(life.aclose())
