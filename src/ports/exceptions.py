from typing import Protocol

from src.domain.context import Context
from src.domain.exceptions import ExceptionsQuery, Retried, Retry
from src.domain.paging import Page


class Exceptions(Protocol):
    """Reads the ops queue, newest first."""

    async def page(self, context: Context, query: ExceptionsQuery) -> Page:
        """Raises NotAllowed when the source is live and the caller is not ops."""


class OpsQueue(Exceptions, Protocol):
    """The live queue, which ops work off."""

    async def retry(self, context: Context, retry: Retry) -> Retried:
        """Queue the work behind an exception again. Raises NotFound, NotAllowed, Conflict when it is resolved."""
