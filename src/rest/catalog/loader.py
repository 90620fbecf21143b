"""Loads the catalog of a database."""

from __future__ import annotations

import time
from collections.abc import Callable

from src.database.connections import Source
from src.rest.catalog.introspection import Exposure, read_catalog
from src.rest.catalog.model import Catalog


class CatalogLoader:
    """Reads the catalog through `connections` and passes it to each of `users`.

    They keep the old catalog when a reading fails. `loads`, `failures` and the `seconds` of the last reading are for
    metrics.
    """

    def __init__(self, connections: Source, exposure: Exposure, *users: Callable[[Catalog], None]) -> None:
        self._connections = connections
        self.exposure = exposure
        self._users = users
        self.loads = 0
        self.failures = 0
        self.seconds = 0.0

    async def read(self) -> Catalog:
        """Raises what the connection raises."""
        try:
            async with self._connections.acquire() as connection:
                began = time.perf_counter()
                catalog = await read_catalog(connection, self.exposure)
                self.seconds = time.perf_counter() - began
        except Exception:
            self.failures += 1
            raise
        for use in self._users:
            use(catalog)
        self.loads += 1
        return catalog
