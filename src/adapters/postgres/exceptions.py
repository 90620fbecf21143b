from src.adapters.postgres.answers import answered, page_of, parameters
from src.adapters.postgres.database import Database
from src.domain.context import Context
from src.domain.exceptions import ExceptionsQuery, Retried, Retry
from src.domain.paging import Page


class PostgresExceptions:
    """Exceptions from ops.v_exceptions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, context: Context, query: ExceptionsQuery) -> Page:
        return page_of(await self._database.read(context, "ops.list_exceptions", **parameters(query)))

    async def retry(self, context: Context, retry: Retry) -> Retried:
        return answered(Retried, await self._database.call(context, "public.retry_exception", **parameters(retry)))

    async def reopen_stalled(self, context: Context) -> int:
        """Open again what has been retried for too long; says how many."""
        return int(await self._database.call(context, "ops.reopen_stalled_exceptions"))
