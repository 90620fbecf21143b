from src.adapters.postgres.answers import decoded
from src.adapters.postgres.database import Database
from src.domain.context import SERVICE, Context
from src.domain.errors import Unavailable


class PostgresServiceLevels:
    """ops.service_levels()."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def now(self) -> dict[str, float]:
        try:
            body = await self._database.call(Context(SERVICE, "metrics"), "ops.service_levels")
        except Unavailable:
            return {"database_up": 0.0}
        return {"database_up": 1.0, **decoded(body, dict[str, float])}
