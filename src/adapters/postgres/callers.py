from src.adapters.postgres.database import Database
from src.domain.context import Context, Role


class PostgresCallers:
    """Persona and rate limits, both shared by all processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_ops(self, context: Context) -> bool:
        if context.caller.role is not Role.USER:
            return context.caller.role is Role.SERVICE
        return await self._database.call(context, "sec.is_ops") == b"true"

    async def take_token(self, context: Context, function: str, per_minute: int, client: str) -> int:
        caller = client if context.caller.role is Role.ANONYMOUS else context.caller.actor
        seconds = await self._database.call(
            context.as_service(), "ops.take_token", p_function=function, p_caller=caller, p_per_minute=per_minute
        )
        return int(seconds)

    async def purge_tokens(self, context: Context) -> int:
        return int(await self._database.call(context, "ops.purge_rate_limits"))
