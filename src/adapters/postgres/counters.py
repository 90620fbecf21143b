from src.adapters.postgres.answers import parameters
from src.adapters.postgres.database import Database
from src.domain.context import Context
from src.domain.counters import Increment


class PostgresCounters:
    """Counters in ops.counters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def increment(self, context: Context, increment: Increment) -> bytes:
        return await self._database.call(context, "public.increment_counter", **parameters(increment))
