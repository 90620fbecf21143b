from typing import Protocol

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.webhooks import Applied, PaymentEvent


class Webhooks(Protocol):
    """The inbox of provider events."""

    async def apply(self, context: Context, event: PaymentEvent) -> Answered[Applied]:
        """Store the event and its effect together, once."""

    async def retry_due(self, context: Context) -> int:
        """Try deferred events again whose time has come; how many that were."""


class Signatures(Protocol):
    """Tells the provider's own messages from others."""

    @property
    def required(self) -> bool:
        """Whether a secret is shared with the provider."""

    def valid(self, body: bytes, signature: str) -> bool:
        """Whether the raw body was signed with a known secret within the last and next five minutes."""
