from typing import Protocol

from src.domain.bookings import BookingsQuery
from src.domain.context import Context
from src.domain.paging import Page


class Bookings(Protocol):
    """Reads bookings in the stable order start_date, id."""

    async def page(self, context: Context, query: BookingsQuery) -> Page:
        """Raises NotAllowed when the source is live and the caller is not ops."""
