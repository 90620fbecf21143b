"""The supplier's bad days, seen through everything that stands around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date

import asyncpg
import pytest

from src.adapters.hbx.client import HbxClient, HbxSettings, signature
from src.adapters.hbx.supplier import HbxSupplier
from src.adapters.postgres.inventory import PostgresCache, PostgresCircuit
from src.adapters.resilience.cache import Caching
from src.adapters.resilience.circuit import Circuit
from src.adapters.resilience.flights import SingleFlight
from src.adapters.resilience.retry import Retrying
from src.composition import compose
from src.domain.errors import (
    CircuitOpen,
    Conflict,
    CredentialsRefused,
    NotFound,
    QuotaSpent,
    RateLimited,
    SupplierFailed,
)
from src.domain.inventory import HotelSearch, Pax, RateQuery, Stay
from src.domain.search import Place
from src.ports.inventory import Supplier
from tests.fakes.hbx.server import Behaviour, FakeHbx, running
from tests.postgres import settings

STAY = Stay(date(2030, 6, 3), date(2030, 6, 5), Pax(2))
KIGALI = Place("kigali", "city", "1", "Kigali", metadata={"hbx_destination": "KGL"})
MUSANZE = Place("musanze", "city", "2", "Musanze", metadata={"latitude": -1.5, "longitude": 29.6})
SEARCH = HotelSearch(KIGALI, STAY)


@pytest.fixture
async def fake() -> AsyncIterator[FakeHbx]:
    async with running() as server:
        yield server


class Clock:
    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Process:
    """Everything one service process puts around the supplier."""

    def __init__(self, dsn: str, fake: FakeHbx) -> None:
        self.composed = compose(settings(dsn))
        self.client = HbxClient(HbxSettings("key", "secret", fake.url))
        self.clock = Clock()
        database = self.composed.database
        retrying = Retrying(HbxSupplier(self.client), self.clock.sleep)
        self.circuit = Circuit(retrying, PostgresCircuit(database, "hbx"))
        cache = PostgresCache(database)
        self.supplier: Supplier = Caching(SingleFlight(self.circuit, cache, "HBX"), cache, "HBX")

    async def close(self) -> None:
        await self.client.close()
        await self.composed.close()


@asynccontextmanager
async def processes(dsn: str, fake: FakeHbx, number: int) -> AsyncIterator[list[Process]]:
    async with AsyncExitStack() as stack:
        made = [Process(dsn, fake) for _ in range(number)]
        for process in made:
            stack.push_async_callback(process.close)
        yield made


def other(number: int) -> HotelSearch:
    return HotelSearch(Place(f"place-{number}", "city", "1", "X", metadata={"hbx_destination": "KGL"}), STAY)


def test_the_signature_is_hotelbeds_own() -> None:
    expected = "737588110177fbb75b52721ce2ff7995d53cd195cc454353ba98511048a7be91"
    assert signature("apiKey", "secret", 1500000000) == expected


async def test_five_hundred_equal_searches_are_one_call(database: str, fake: FakeHbx) -> None:
    fake.behaviour = Behaviour(latency=0.2)
    async with processes(database, fake, 2) as (one, two):
        askers = [(one, two)[number % 2].supplier.ask(SEARCH) for number in range(500)]
        replies = await asyncio.gather(*askers)
        assert len(fake.calls) == 1
        assert {reply.hotels for reply in replies} == {replies[0].hotels}
        assert (await one.supplier.ask(SEARCH)).source == "cache"


async def test_a_waiter_that_gives_up_does_not_end_the_flight(database: str, fake: FakeHbx) -> None:
    fake.behaviour = Behaviour(latency=0.2)
    async with processes(database, fake, 1) as (one,):
        first, second = (asyncio.create_task(one.supplier.ask(SEARCH)) for _ in range(2))
        while not fake.calls:
            await asyncio.sleep(0.01)
        first.cancel()
        assert len((await second).hotels) == 3
        assert len(fake.calls) == 1


async def test_delays_are_250_500_and_1000_ms_and_a_short_wish_is_obeyed(database: str, fake: FakeHbx) -> None:
    fake.behaviour = Behaviour("limited")
    async with processes(database, fake, 1) as (one,):
        with pytest.raises(RateLimited) as refused:
            await one.supplier.ask(SEARCH)
        assert refused.value.retry_after == 60
        assert one.clock.slept == [0.25, 0.5, 1.0]
        assert len(fake.calls) == 4
        one.clock.slept.clear()
        fake.behaviour = Behaviour("overloaded", times=2, retry_after="2")
        assert len((await one.supplier.ask(SEARCH)).hotels) == 3
        assert one.clock.slept == [2, 2]


async def test_the_delays_are_real_once(database: str, fake: FakeHbx) -> None:
    fake.behaviour = Behaviour("reset", times=2)
    async with processes(database, fake, 1) as (one,):
        reply = await Retrying(HbxSupplier(one.client)).ask(SEARCH)
        assert len(reply.hotels) == 3
        moments = [at for at, _, _ in fake.calls]
        assert 0.25 <= moments[1] - moments[0] < 0.5 <= moments[2] - moments[1] < 1


async def test_a_spent_day_opens_the_circuit_without_another_call(
    database: str, fake: FakeHbx, admin: asyncpg.Connection
) -> None:
    fake.behaviour = Behaviour("quota")
    async with processes(database, fake, 2) as (one, two):
        with pytest.raises(QuotaSpent):
            await one.supplier.ask(SEARCH)
        with pytest.raises(CircuitOpen) as closed:
            await two.supplier.ask(other(1))
        assert 38_000 < closed.value.retry_after <= 38_452
        assert len(fake.calls) == 1
        assert (
            await admin.fetchval("select status from ops.exceptions where kind = 'circuit' and cause = 'hbx'") == "open"
        )


async def test_failures_in_one_process_make_the_other_serve_stale_without_calling(
    database: str, fake: FakeHbx, admin: asyncpg.Connection
) -> None:
    async with processes(database, fake, 2) as (one, two):
        quote = RateQuery("6001", None, STAY)
        await one.supplier.ask(SEARCH)
        await one.supplier.ask(quote)
        await admin.execute("update inventory.cache set expires_at = now()")
        fake.behaviour = Behaviour("broken")
        for number in range(5):
            with pytest.raises(SupplierFailed):
                await one.supplier.ask(other(number))
        calls = len(fake.calls)
        stale = await two.supplier.ask(SEARCH)
        assert (stale.source, stale.stale, len(stale.hotels)) == ("cache-stale", True, 3)
        assert (await two.supplier.ask(quote)).stale
        with pytest.raises(CircuitOpen):
            await two.supplier.ask(other(9))
        assert len(fake.calls) == calls
        assert two.circuit.state == "open"
        await admin.execute("update inventory.cache set fetched_at = now() - interval '25 hours'")
        with pytest.raises(CircuitOpen):
            await two.supplier.ask(SEARCH)


async def test_fifty_probes_of_two_processes_are_one_call(
    database: str, fake: FakeHbx, admin: asyncpg.Connection
) -> None:
    opened = "update inventory.circuit set state = 'open', epoch = 1, failures = 5, cooldown_until = now()"
    await admin.execute(opened)
    fake.behaviour = Behaviour(latency=0.5)
    async with processes(database, fake, 2) as both:
        askers = [both[number % 2].supplier.ask(other(number)) for number in range(50)]
        replies = await asyncio.gather(*askers, return_exceptions=True)
        assert len(fake.calls) == 1
        assert sum(isinstance(reply, CircuitOpen) for reply in replies) == 49
        assert await admin.fetchval("select state from inventory.circuit") == "closed"
        await both[0].supplier.ask(other(99))
        await admin.execute(opened)
        fake.behaviour = Behaviour("broken")
        with pytest.raises(SupplierFailed):
            await both[0].supplier.ask(other(100))
        assert await admin.fetchval("select cooldown_until > now() + interval '50 s' from inventory.circuit")


async def test_a_cancelled_probe_leaves_the_right_to_probe(
    database: str, fake: FakeHbx, admin: asyncpg.Connection
) -> None:
    await admin.execute("update inventory.circuit set state = 'open', failures = 5, cooldown_until = now()")
    fake.behaviour = Behaviour(latency=5)
    async with processes(database, fake, 1) as (one,):
        probe = asyncio.create_task(one.circuit.ask(SEARCH))
        while not fake.calls:
            await asyncio.sleep(0.01)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        fake.behaviour = Behaviour()
        assert len((await one.circuit.ask(SEARCH)).hotels) == 3


@pytest.mark.parametrize("mode", ["truncated", "nonsense", "reset", "overloaded", "broken", "refused"])
async def test_no_bad_day_is_a_bug(database: str, fake: FakeHbx, mode: str) -> None:
    fake.behaviour = Behaviour(mode)
    async with processes(database, fake, 1) as (one,):
        with pytest.raises(SupplierFailed) as failed:
            await one.supplier.ask(SEARCH)
        assert isinstance(failed.value, CredentialsRefused) == (mode == "refused")


async def test_refused_credentials_do_not_open_the_circuit(database: str, fake: FakeHbx) -> None:
    fake.behaviour = Behaviour("refused")
    async with processes(database, fake, 1) as (one,):
        for number in range(6):
            with pytest.raises(CredentialsRefused):
                await one.supplier.ask(other(number))
        assert one.circuit.state == "closed"


async def test_a_slow_supplier_is_given_up_within_the_deadline_and_counts(database: str, fake: FakeHbx) -> None:
    fake.behaviour = Behaviour("slow")
    async with processes(database, fake, 1) as (one,):
        circuit = Circuit(
            Retrying(HbxSupplier(one.client), deadline=0.2), PostgresCircuit(one.composed.database, "hbx")
        )
        for _ in range(5):
            with pytest.raises(SupplierFailed):
                await circuit.ask(SEARCH)
        assert circuit.state == "open"


async def test_ops_hold_the_circuit_open_and_closed(database: str, fake: FakeHbx, admin: asyncpg.Connection) -> None:
    async with processes(database, fake, 1) as (one,):
        await admin.execute("select force_circuit('hbx', 'open')")
        with pytest.raises(CircuitOpen):
            await one.supplier.ask(SEARCH)
        assert not fake.calls
        await admin.execute("select force_circuit('hbx', 'closed')")
        fake.behaviour = Behaviour("broken")
        for number in range(7):
            with pytest.raises(SupplierFailed):
                await one.circuit.ask(other(number))
        assert len(fake.calls) == 7
        await admin.execute("select force_circuit('hbx', null)")
        fake.behaviour = Behaviour()
        assert len((await one.supplier.ask(SEARCH)).hotels) == 3


async def test_numbers_may_be_text_and_empty_answers_are_no_error(database: str, fake: FakeHbx) -> None:
    async with processes(database, fake, 1) as (one,):
        hbx = HbxSupplier(one.client)
        plain = await hbx.ask(SEARCH)
        fake.behaviour = Behaviour(flipped=True)
        assert (await hbx.ask(SEARCH)).hotels == plain.hotels
        assert plain.hotels[0].price_cents == 2 * 8736
        nowhere = HotelSearch(Place("x", "city", "1", "X", metadata={"hbx_destination": "EMPTY"}), STAY)
        assert (await hbx.ask(nowhere)).hotels == ()
        await hbx.ask(HotelSearch(MUSANZE, STAY))
        assert fake.calls[-1][2]["geolocation"] == {"latitude": -1.5, "longitude": 29.6, "radius": 20, "unit": "km"}


async def test_a_quote_is_checked_where_the_rate_asks_for_it_and_says_that_the_price_changed(
    database: str, fake: FakeHbx
) -> None:
    async with processes(database, fake, 1) as (one,):
        hbx = HbxSupplier(one.client)
        fake.behaviour = Behaviour(raise_percent=10)
        quote = (await hbx.ask(RateQuery("6005", None, STAY))).quote
        assert quote is not None
        assert (quote.plan_id, quote.price_changed) == ("DBL.ST~BB~NOR", True)
        assert (quote.previous_total_cents, quote.total_cents) == (2 * 11536, 25379)
        assert sum(night.cents for night in quote.nightly) == quote.total_cents
        assert [night.date for night in quote.nightly] == [date(2030, 6, 3), date(2030, 6, 4)]
        fake.behaviour = Behaviour(sold_out=True)
        with pytest.raises(Conflict):
            await hbx.ask(RateQuery("6005", None, STAY))
        for unknown in (
            RateQuery("9999", None, STAY),
            RateQuery("6005", "no~such~plan", STAY),
            RateQuery("x", None, STAY),
        ):
            with pytest.raises(NotFound):
                await hbx.ask(unknown)
