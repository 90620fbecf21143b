from src.adapters.postgres.answers import page_of, parameters
from src.adapters.postgres.database import Database
from src.domain.context import Context
from src.domain.exceptions import ExceptionsQuery
from src.domain.paging import Page


class PostgresExceptions:
    """Exceptions from ops.v_exceptions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, context: Context, query: ExceptionsQuery) -> Page:
        return page_of(await self._database.read(context, "ops.list_exceptions", **parameters(query)))
