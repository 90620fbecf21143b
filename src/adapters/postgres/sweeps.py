from src.adapters.postgres.database import Database
from src.domain.context import Context


class PostgresSlots:
    """Slots in ops.sweeps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, context: Context, name: str, seconds: float) -> bool:
        return await self._database.call(context, "ops.claim_sweep", p_name=name, p_seconds=seconds) == b"true"

    async def finish(self, context: Context, name: str, handled: int) -> None:
        await self._database.call(context, "ops.finish_sweep", p_name=name, p_handled=handled)

    async def fail(self, context: Context, name: str, error: str) -> int:
        return int(await self._database.call(context, "ops.fail_sweep", p_name=name, p_error=error))
