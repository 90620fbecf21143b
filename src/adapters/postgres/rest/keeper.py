"""Keeps the engine's catalog current."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from src.adapters.postgres.connections import FAILED, Connections
from src.adapters.postgres.rest.introspection import Exposure, read_catalog
from src.adapters.postgres.share import Share
from src.domain.rest.catalog import Catalog

log = logging.getLogger(__name__)


class CatalogKeeper:
    """Reads the catalog through `connections` and hands it to everyone in `users`.

    A failed reading keeps the old catalog. Readings asked for while one runs become one more after it. `loads`,
    `failures` and the `seconds` of the last reading are for metrics.
    """

    def __init__(self, connections: Connections | Share, exposure: Exposure, *users: Callable[[Catalog], None]) -> None:
        self._connections = connections
        self._exposure = exposure
        self._users = users
        self._reading = asyncio.Lock()
        self._asked = 0
        self.loads = 0
        self.failures = 0
        self.seconds = 0.0

    async def refresh(self) -> None:
        """Read the catalog now. Raises nothing; use `read` where a failure matters."""
        self._asked += 1
        asked = self._asked
        async with self._reading:
            if asked < self._asked:
                return
            try:
                await self.read()
            except FAILED as error:
                self.failures += 1
                log.warning("the schema cannot be read: %s", error)

    async def read(self) -> Catalog:
        """Read and hand over. Raises what the connection raises."""
        async with self._connections.acquire() as connection:
            began = time.perf_counter()
            catalog = await read_catalog(connection, self._exposure)
            self.seconds = time.perf_counter() - began
        self.loads += 1
        for use in self._users:
            use(catalog)
        return catalog
