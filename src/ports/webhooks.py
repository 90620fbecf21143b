from typing import Protocol

from src.domain.context import Context
from src.domain.webhooks import Applied, PaymentEvent


class Webhooks(Protocol):
    """The inbox of provider events."""

    async def apply(self, context: Context, event: PaymentEvent) -> Applied:
        """Store the event and its effect together, once."""
