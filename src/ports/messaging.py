from collections.abc import Sequence
from typing import Protocol

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.messaging import Inbound, Message, MessageRequest, Received, Report, SendOutcome, SentMessage


class Messages(Protocol):
    """Keeps messages."""

    async def queue(self, context: Context, request: MessageRequest) -> Message:
        """Record a message and claim its first attempt for a minute."""

    async def claim(self, context: Context, limit: int) -> Sequence[Message]:
        """Attempts that are due, each claimed for a minute. Claims that ran out become unknown outcomes."""

    async def record(self, context: Context, message: Message, outcome: SendOutcome) -> Answered[SentMessage]:
        """Keep what became of an attempt; what is known better already stands."""

    async def receive(
        self, context: Context, inbound: Sequence[Inbound], reports: Sequence[Report]
    ) -> Answered[Received]:
        """Keep events once each, in whatever order they come."""


class Sender(Protocol):
    """Sends one message."""

    async def send(self, message: Message) -> SendOutcome:
        """Never raises for what the provider answers, or fails to answer."""
