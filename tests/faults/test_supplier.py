"""A hotel supplier that fails, seen by two server processes on one database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.conftest import ANON_KEY
from tests.fakes.hbx.server import Behaviour, FakeHbx, running
from tests.support.processes import TIMEOUT, ServerProcess, ecotrips, server
from tests.support.races import until

pytestmark = pytest.mark.heavy
STAY = {"check_in": "2030-06-03", "check_out": "2030-06-06"}


@dataclass
class Pair:
    """Two servers and their client."""

    servers: tuple[ServerProcess, ServerProcess]
    http: httpx.AsyncClient

    async def search(self, number: int, adults: int = 2) -> httpx.Response:
        """Hotels in Kigali: an even number asks the first server; each number of `adults` is another question."""
        body = {"city": "Kigali", "pax": {"adults": adults % 20 + 1, "children": adults // 20}, **STAY}
        address = self.servers[number % 2].address
        return await self.http.post(f"{address}/functions/v1/inventory-search", json=body)

    def audit_lines(self) -> Iterator[str]:
        for each in self.servers:
            yield from (line for line in each.audit_lines() if line.startswith("AUDIT inventory.search "))


@pytest.fixture
async def fake() -> AsyncIterator[FakeHbx]:
    async with running() as made:
        yield made


def live(fake: FakeHbx) -> Mapping[str, str]:
    hbx = {"HBX_BASE_URL": fake.url, "HBX_API_KEY": fake.key, "HBX_API_SECRET": fake.secret}
    return {"INVENTORY_OFFLINE": "0", **hbx}


@pytest.fixture
async def pair(database: str, tmp_path: Path, fake: FakeHbx) -> AsyncIterator[Pair]:
    with ExitStack() as stack:
        one, two = (stack.enter_context(server(database, tmp_path, **live(fake))) for _ in range(2))
        async with httpx.AsyncClient(
            headers={"apikey": ANON_KEY}, timeout=TIMEOUT, limits=httpx.Limits(max_connections=500)
        ) as http:
            yield Pair((one, two), http)


@asynccontextmanager
async def holding(fake: FakeHbx) -> AsyncIterator[None]:
    """Keeps the fake's answers back for the length of the block."""
    fake.held = asyncio.Event()
    try:
        yield
    finally:
        fake.held.set()
        fake.held = None


async def test_five_hundred_equal_searches_at_once_are_one_call(pair: Pair, fake: FakeHbx) -> None:
    fake.behaviour = Behaviour(latency=1)
    answers = await asyncio.gather(*(pair.search(number) for number in range(500)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({str(answer.json()["items"]) for answer in answers}) == 1
    assert len(fake.calls) == 1


async def test_fifty_probes_of_a_half_open_circuit_are_one_call(
    pair: Pair, fake: FakeHbx, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        "update inventory.circuit set state = 'open', epoch = 1, failures = 5, cooldown_until = clock_timestamp()"
    )
    async with holding(fake):
        searches = [asyncio.create_task(pair.search(number, adults=number + 1)) for number in range(50)]
        pending: set[asyncio.Task[httpx.Response]] = set(searches)
        while len(pending) > 1:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    answers = [await search for search in searches]
    assert len(fake.calls) == 1
    refused = [answer for answer in answers if answer.status_code == 503]
    assert (len(refused), {answer.json()["code"] for answer in refused}) == (49, {"SUPPLIER_TIMEOUT"})
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert {answer.status_code for answer in answers} == {200, 503}
    assert await admin.fetchval("select state from inventory.circuit") == "closed"


async def test_five_failures_of_one_process_make_the_other_serve_stale_without_calling(
    pair: Pair, fake: FakeHbx, admin: asyncpg.Connection
) -> None:
    assert (await pair.search(0)).json()["source"] == "HBX"
    await admin.execute("update inventory.cache set expires_at = clock_timestamp()")
    fake.behaviour = Behaviour("broken")
    for adults in range(3, 8):
        failed = await pair.search(0, adults)
        assert (failed.status_code, failed.json()["code"]) == (504, "SUPPLIER_TIMEOUT")
    calls = len(fake.calls)
    stale = (await pair.search(1)).json()
    assert (stale["source"], stale["circuit"], len(stale["items"])) == ("cache-stale", "open", 3)
    assert stale["cache"]["stale"]
    assert (await pair.search(1, 9)).status_code == 503
    assert len(fake.calls) == calls == 6
    lines = list(pair.audit_lines())
    assert sum(" source=cache-stale circuit=open cache_hit=True stale=True " in line for line in lines) == 1
    assert (
        sum(" source=HBX circuit=open cache_hit=False stale=False code=SUPPLIER_TIMEOUT " in line for line in lines)
        == 2
    )


async def test_a_killed_probe_leaves_the_right_to_probe(pair: Pair, fake: FakeHbx, admin: asyncpg.Connection) -> None:
    await admin.execute(
        "update inventory.circuit set state = 'open', epoch = 1, failures = 5, cooldown_until = clock_timestamp()"
    )
    async with holding(fake):
        probe = asyncio.create_task(pair.search(0))
        await until(lambda: fake.calls)
        pair.servers[0].kill()
        with pytest.raises(httpx.TransportError):
            await probe
    assert (await pair.search(1, 3)).status_code == 503
    # What time would do after ten seconds, for the probe and for the call that nobody finishes.
    await admin.execute("update inventory.circuit set probe_until = clock_timestamp()")
    await admin.execute("update inventory.flights set locked_until = clock_timestamp()")
    assert (await pair.search(1)).json()["source"] == "HBX"
    assert len(fake.calls) == 2


async def test_the_next_request_of_each_process_obeys_ecotrips_circuit(
    pair: Pair, fake: FakeHbx, database: str, tmp_path: Path
) -> None:
    def circuit(order: str) -> str:
        return ecotrips(tmp_path, "circuit", order, DATABASE_URL=database).stdout

    assert circuit("show") == "hbx: closed, 0 failures in a row\n"
    assert circuit("open") == "hbx: open (forced), 0 failures in a row\n"
    assert [(await pair.search(number)).status_code for number in (0, 1)] == [503, 503]
    assert not fake.calls
    assert circuit("close") == "hbx: closed (forced), 0 failures in a row\n"
    fake.behaviour = Behaviour("broken")
    for number in range(6):
        assert (await pair.search(number, number + 1)).status_code == 504
    assert len(fake.calls) == 6
    assert circuit("auto") == "hbx: closed, 0 failures in a row\n"
    fake.behaviour = Behaviour()
    assert (await pair.search(1)).json()["source"] == "HBX"
