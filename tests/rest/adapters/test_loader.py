"""A catalog that could not be read is read again, whatever came in between, at whatever step."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from src.database.connections import Connections, DedicatedConnections
from src.database.refresher import Refresher
from src.rest.catalog import introspection
from src.rest.catalog.introspection import Exposure
from src.rest.catalog.loader import CatalogLoader
from src.rest.catalog.model import Catalog, Name
from tests.rest.http.conftest import as_gate, world_database, world_template  # noqa: F401 - fixtures
from tests.support.races import until

QUESTIONS = 14


@pytest.mark.parametrize("step", range(QUESTIONS))
async def test_a_connection_may_break_at_each_question(
    world_database: str,  # noqa: F811 - a fixture
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    asked, fetch = 0, asyncpg.Connection.fetch

    async def breaking(self: asyncpg.Connection, *given: Any, **options: Any) -> object:
        nonlocal asked
        asked += 1
        if asked == step + 1:
            self.terminate()
        return await fetch(self, *given, **options)

    read: list[Catalog] = []
    pool = Connections(as_gate(world_database), 2)
    loader = CatalogLoader(DedicatedConnections(pool), Exposure(("zoo",)), read.append)
    refresher = Refresher("reading", loader.read)
    monkeypatch.setattr(asyncpg.Connection, "fetch", breaking)
    await refresher.start()
    assert refresher.stale
    assert read == []
    await until(lambda: not refresher.stale)
    assert Name("zoo", "animals") in read[0].tables
    assert (loader.loads, loader.failures, pool.busy) == (1, 1, 0)
    assert asked == step + 1 + QUESTIONS
    await refresher.stop()
    await pool.close()


async def test_what_is_read_may_be_what_nobody_expected(
    world_database: str,  # noqa: F811 - a fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing, tables = True, introspection._tables  # noqa: SLF001 - a step in the middle

    def surprised(*given: Any) -> dict[Name, object]:
        if failing:
            raise KeyError
        return dict(tables(*given))

    monkeypatch.setattr(introspection, "_tables", surprised)
    pool = Connections(as_gate(world_database), 2)
    loader = CatalogLoader(DedicatedConnections(pool), Exposure(("zoo",)))
    refresher = Refresher("reading", loader.read)
    await refresher.start()
    await until(lambda: loader.failures > 2)
    assert refresher.stale
    failing = False
    await until(lambda: not refresher.stale)
    await refresher.stop()
    await pool.close()
