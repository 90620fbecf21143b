from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.ledger import Books, Fact, Recorded


class Ledger(Protocol):
    """The books."""

    async def append(self, context: Context, fact: Fact) -> Answered[Recorded]:
        """Record a fact with its effect; the same again gives the first. Raises NotFound, Conflict, InputInvalid."""

    async def live_books(self, context: Context, since: datetime, intent_ids: Collection[str]) -> list[Books]:
        """What the books say of live payments that changed since then, and of these intents."""

    async def seal(self, context: Context) -> int:
        """Seal the days that have ended; 0, as nothing is left for another batch."""


class ProviderTotals(Protocol):
    """What the provider says of intents. Every method raises ProviderFailed, ProviderUnknown."""

    async def changed(self, since: datetime) -> set[str]:
        """The ids of intents that were made or refunded since then."""

    async def totals(self, intent_id: str) -> tuple[int, int]:
        """What was taken and what was given back, in minor units."""
