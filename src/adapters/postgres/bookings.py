from src.adapters.postgres.answers import page_of, parameters
from src.adapters.postgres.database import Database
from src.domain.bookings import BookingsQuery
from src.domain.context import Context
from src.domain.paging import Page


class PostgresBookings:
    """Bookings from ops.v_bookings."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, context: Context, query: BookingsQuery) -> Page:
        return page_of(await self._database.read(context, "ops.list_bookings", **parameters(query)))
