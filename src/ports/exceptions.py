from typing import Protocol

from src.domain.context import Context
from src.domain.exceptions import ExceptionsQuery
from src.domain.paging import Page


class Exceptions(Protocol):
    """Reads the ops queue, newest first."""

    async def page(self, context: Context, query: ExceptionsQuery) -> Page:
        """Raises NotAllowed when the source is live and the caller is not ops."""
