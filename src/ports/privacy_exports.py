from typing import Protocol
from uuid import UUID

from src.domain.context import Context
from src.domain.privacy import RequestStatus
from src.domain.privacy_export import Contents, Export, ExportedTable


class PrivacyExports(Protocol):
    """Reads what is known of a request's subject, for ops. Every method raises NotFound, Conflict (not approved)."""

    async def begin(self, context: Context, request_id: UUID) -> Contents:
        """The tables with rows of the subject, and where their files are."""

    async def rows(self, context: Context, request_id: UUID, table: ExportedTable, offset: int, limit: int) -> bytes:
        """Some of the rows of one table, by its key, as a JSON array."""

    async def record(self, context: Context, done: Export) -> RequestStatus:
        """The archive is stored. Raises Conflict when the subject was erased meanwhile."""
