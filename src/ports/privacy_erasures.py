from typing import Protocol
from uuid import UUID

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.privacy import Folder, RequestStatus
from src.domain.privacy_erasure import ErasurePlan, Purge


class PrivacyErasures(Protocol):
    """Plans and executes erasures, for ops. `files` is the JSON list of the files that would be deleted."""

    async def folders(self, context: Context, request_id: UUID) -> list[Folder]:
        """Where the files are that an erasure deletes."""

    async def plan(self, context: Context, request_id: UUID, files: str) -> ErasurePlan:
        """Raises NotFound, Conflict (not an approved erasure; a column that nobody classified)."""

    async def execute(self, context: Context, request_id: UUID, confirm: str, files: str) -> Answered[RequestStatus]:
        """All of the plan or nothing. Raises NotFound, Conflict (no plan, plan_stale), InputInvalid (confirm)."""

    async def claim_purges(self, context: Context, request_id: UUID | None = None) -> list[Purge]:
        """Folders that are due, of one request or of all, under a lease; for the service."""

    async def finish_purge(self, context: Context, purge: Purge, error: str | None = None) -> None:
        """The folder is empty, or `error` says by a class's name why it is not; for the service."""

    async def sweep_retention(self, context: Context) -> int:
        """Delete what is older than privacy.retention says; how many rows that were."""
