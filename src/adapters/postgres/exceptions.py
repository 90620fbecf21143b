from pathlib import Path

from src.adapters.postgres.answers import answered, page_of, parameters
from src.adapters.postgres.database import Database
from src.domain.answered import Answered
from src.domain.context import SERVICE, Context
from src.domain.exceptions import ExceptionsQuery, Retried, Retry
from src.domain.paging import Page

FIXTURES = Path(__file__).parents[3] / "fixtures" / "exceptions.json"


class PostgresExceptions:
    """The ops queue. Its function decides who sees which rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, context: Context, query: ExceptionsQuery) -> Page:
        return page_of(await self._database.read(context, "ops.list_exceptions", **parameters(query)))

    async def retry(self, context: Context, retry: Retry) -> Answered[Retried]:
        return answered(Retried, await self._database.call(context, "public.retry_exception", **parameters(retry)))

    async def reopen_stalled(self, context: Context) -> int:
        return int(await self._database.call(context, "ops.reopen_stalled_exceptions"))


class OfflineExceptions(PostgresExceptions):
    """The same queue with the fixtures in it, which this process adds before it first uses the queue."""

    def __init__(self, database: Database, file: Path = FIXTURES) -> None:
        super().__init__(database)
        self._missing: str | None = file.read_text()

    async def page(self, context: Context, query: ExceptionsQuery) -> Page:
        await self._add(context)
        return await super().page(context, query)

    async def retry(self, context: Context, retry: Retry) -> Answered[Retried]:
        await self._add(context)
        return await super().retry(context, retry)

    async def _add(self, context: Context) -> None:
        if self._missing is not None:
            service = Context(SERVICE, context.request_id)
            await self._database.call(service, "ops.add_fixtures", p_fixtures=self._missing)
            self._missing = None
