"""The supplier's bad days, seen through everything that stands around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from src.adapters.hbx.client import HbxClient, HbxSettings
from src.adapters.hbx.supplier import HbxSupplier
from src.adapters.postgres.inventory import PostgresCircuit
from src.adapters.resilience import cache
from src.adapters.resilience.circuit import Circuit
from src.adapters.resilience.retry import Retrying
from src.domain.errors import CircuitOpen, CredentialsRefused, QuotaSpent, RateLimited, SupplierFailed
from src.domain.inventory import HotelSearch, RateQuery
from src.domain.resilience import CircuitState
from src.domain.search import Place
from tests.fakes.hbx.server import Behaviour, FakeHbx, running
from tests.support.processes import free_port
from tests.support.races import until
from tests.support.suppliers import SEARCH, STAY, Clock, processes


@pytest.fixture
async def fake() -> AsyncIterator[FakeHbx]:
    async with running() as server:
        yield server


def other(number: int) -> HotelSearch:
    return HotelSearch(Place(f"place-{number}", "city", "1", "X", metadata={"hbx_destination": "KGL"}), STAY)


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
        await until(lambda: fake.calls)
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


async def test_a_delay_takes_its_time(database: str, fake: FakeHbx) -> None:
    fake.behaviour = Behaviour("reset", times=1)
    async with processes(database, fake, 1) as (one,):
        assert len((await Retrying(HbxSupplier(one.client)).ask(SEARCH)).hotels) == 3
    (first, _, _), (second, _, _) = fake.calls
    assert second - first >= 0.25


async def test_a_supplier_that_is_not_there_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    clock, nobody = Clock(), HbxClient(HbxSettings("key", "secret", f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(SupplierFailed):
        await Retrying(HbxSupplier(nobody), clock.sleep).ask(SEARCH)
    assert clock.slept == [0.25, 0.5, 1.0]
    assert not caplog.records
    await nobody.close()


async def test_a_spent_day_opens_the_circuit_without_another_call(
    database: str, fake: FakeHbx, admin: asyncpg.Connection
) -> None:
    fake.behaviour = Behaviour("quota", retry_after="38452")
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


class ReadBefore(PostgresCircuit):
    """What it reads is what it once read, as for a reader that the outcome overtakes."""

    then: CircuitState

    async def read(self) -> CircuitState:
        return self.then


async def test_a_reader_that_an_outcome_overtakes_does_not_undo_it(database: str, fake: FakeHbx) -> None:
    fake.behaviour = Behaviour("quota")
    async with processes(database, fake, 1) as (one,):
        store = ReadBefore(one.composed.database, "hbx")
        store.then = await PostgresCircuit(one.composed.database, "hbx").read()
        circuit = Circuit(HbxSupplier(one.client), store)
        with pytest.raises(QuotaSpent):
            await circuit.ask(SEARCH)
        await circuit.refresh(store)
        assert circuit.state == "open"


async def test_retrying_the_circuits_exception_lets_the_next_call_probe(
    database: str, fake: FakeHbx, admin: asyncpg.Connection
) -> None:
    fake.behaviour = Behaviour("quota")
    async with processes(database, fake, 1) as (one,):
        with pytest.raises(QuotaSpent):
            await one.supplier.ask(SEARCH)
        fake.behaviour = Behaviour()
        await admin.execute("select retry_exception(id, null) from ops.exceptions where cause = 'hbx'")
        assert len((await one.supplier.ask(SEARCH)).hotels) == 3
        assert await admin.fetchval("select status from ops.exceptions where cause = 'hbx'") == "resolved"


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
        await until(lambda: fake.calls)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        fake.behaviour = Behaviour()
        assert len((await one.circuit.ask(SEARCH)).hotels) == 3


async def test_refused_credentials_do_not_open_the_circuit(database: str, fake: FakeHbx) -> None:
    fake.behaviour = Behaviour("refused")
    async with processes(database, fake, 1) as (one,):
        for number in range(6):
            with pytest.raises(CredentialsRefused):
                await one.supplier.ask(other(number))
        assert one.circuit.state == "closed"


@pytest.mark.parametrize("mode", ["slow", "trickling"])
async def test_a_slow_supplier_is_given_up_at_the_deadline_and_counts(database: str, fake: FakeHbx, mode: str) -> None:
    fake.behaviour = Behaviour(mode)
    async with processes(database, fake, 1) as (one,):
        circuit = Circuit(
            Retrying(HbxSupplier(one.client), deadline=0.05), PostgresCircuit(one.composed.database, "hbx")
        )
        for _ in range(5):
            with pytest.raises(SupplierFailed):
                await circuit.ask(SEARCH)
        assert circuit.state == "open"


async def test_an_answer_that_is_too_deep_is_a_failure_and_a_mistake_of_ours_says_nothing(
    database: str, fake: FakeHbx, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.behaviour = Behaviour("deep")
    async with processes(database, fake, 1) as (one,):
        supplier = HbxSupplier(one.client)
        circuit = Circuit(supplier, PostgresCircuit(one.composed.database, "hbx"))
        for asked in range(5):
            if asked == 3:
                with monkeypatch.context() as patch:
                    patch.setattr(HbxSupplier, "ask", _mistaken)
                    with pytest.raises(LookupError):
                        await circuit.ask(SEARCH)
            with pytest.raises(SupplierFailed):
                await circuit.ask(SEARCH)
        assert circuit.state == "open"


async def _mistaken(_supplier: HbxSupplier, _question: object) -> None:
    raise LookupError


def test_nobody_waits_for_eight_seconds() -> None:
    assert cache.DEADLINE < 8


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
