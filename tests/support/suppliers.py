"""Questions to the hotel supplier, and everything that one service process puts around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date

from src.adapters.hbx.client import HbxClient, HbxSettings
from src.adapters.hbx.supplier import HbxSupplier
from src.adapters.postgres.inventory import PostgresCache, PostgresCircuit
from src.adapters.resilience.cache import Caching
from src.adapters.resilience.circuit import Circuit
from src.adapters.resilience.flights import SingleFlight
from src.adapters.resilience.retry import Retrying
from src.composition import compose
from src.domain.inventory import HotelSearch, Pax, Stay
from src.domain.search import Place
from src.ports.inventory import Supplier
from src.settings import LIVE_SWITCHES
from tests.fakes.hbx.server import FakeHbx
from tests.support.postgres import settings

# From a Monday to a Wednesday.
STAY = Stay(date(2030, 6, 3), date(2030, 6, 5), Pax(2))
KIGALI = Place("kigali", "city", "1", "Kigali", metadata={"hbx_destination": "KGL"})
NOWHERE = Place("nowhere", "city", "2", "Nowhere", metadata={"hbx_destination": "EMPTY"})
SEARCH = HotelSearch(KIGALI, STAY)


def client_of(fake: FakeHbx, **changes: str) -> HbxClient:
    return HbxClient(HbxSettings(**{"api_key": fake.key, "secret": fake.secret, "base_url": fake.url, **changes}))


def live_settings(fake: FakeHbx) -> dict[str, object]:
    """Settings of a service that asks the fake."""
    return {
        "switches": LIVE_SWITCHES,
        "hbx_api_key": fake.key,
        "hbx_api_secret": fake.secret,
        "hbx_base_url": fake.url,
    }


class Clock:
    """Sleeps no time, and remembers how long it should have."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Process:
    """The wrappers in their order, as src/composition.py puts them; only the pauses between tries take no time."""

    def __init__(self, dsn: str, fake: FakeHbx) -> None:
        self.composed = compose(settings(dsn))
        self.client = client_of(fake)
        self.clock = Clock()
        database = self.composed.database
        self.circuit = Circuit(Retrying(HbxSupplier(self.client), self.clock.sleep), PostgresCircuit(database, "hbx"))
        cache = PostgresCache(database)
        self.supplier: Supplier = Caching(SingleFlight(self.circuit, cache, "HBX"), cache, "HBX")

    async def close(self) -> None:
        await self.client.close()
        await self.composed.close()


@asynccontextmanager
async def processes(dsn: str, fake: FakeHbx, number: int) -> AsyncIterator[list[Process]]:
    """So many processes as far as the database can tell."""
    async with AsyncExitStack() as stack:
        made = [Process(dsn, fake) for _ in range(number)]
        for process in made:
            stack.push_async_callback(process.close)
        yield made
