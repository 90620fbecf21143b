import asyncio

from src.adapters.postgres.answers import decoded
from src.adapters.postgres.database import Database
from src.domain.context import SERVICE, Context
from src.domain.errors import DomainError

# Shorter than Prometheus' timeout, so that this process's own metrics are served while the database is away.
TIMEOUT_SECONDS = 5


class PostgresServiceLevels:
    """ops.service_levels()."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def now(self) -> dict[str, float]:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                body = await self._database.call(Context(SERVICE, "metrics"), "ops.service_levels")
        except (DomainError, TimeoutError):
            return {"database_up": 0.0}
        return {"database_up": 1.0, **decoded(body, dict[str, float])}
