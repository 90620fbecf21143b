from typing import Protocol

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.exceptions import ExceptionsQuery, Retried, Retry
from src.domain.paging import Page


class OpsQueue(Protocol):
    """What went wrong, newest first, which ops work off."""

    async def page(self, context: Context, query: ExceptionsQuery) -> Page:
        """Who is not ops sees fixtures alone while these are shown. Raises NotAllowed for them else."""

    async def retry(self, context: Context, retry: Retry) -> Answered[Retried]:
        """Queue the work behind an exception again. Raises NotFound, NotAllowed, Conflict when it is resolved."""

    async def reopen_stalled(self, context: Context) -> int:
        """Open again what has been retried for too long; how many that were."""
