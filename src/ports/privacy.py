from typing import Protocol

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.privacy import PrivacyRequest, RequestStatus, Review


class PrivacyRequests(Protocol):
    """Keeps requests until they are decided."""

    async def create(self, context: Context, asked: PrivacyRequest) -> Answered[RequestStatus]:
        """The open request of this subject and kind, made when new. Raises NotAllowed (another's subject)."""

    async def review(self, context: Context, review: Review) -> Answered[RequestStatus]:
        """Raises NotAllowed unless ops, NotFound, Conflict (already reviewed)."""

    async def remind(self, context: Context) -> int:
        """Show ops which requests are due within a week, or overdue; how many that were."""
