"""WhatsApp messages: recorded, sent, and what became of them (docs/api.md, Messages)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.errors import InputInvalid, SupplierRefused
from src.domain.links import is_public_link

if TYPE_CHECKING:
    from src.ports.messaging import Messages, Sender

SCHEME = re.compile(r"https?://[^/?#\s]", re.IGNORECASE)
NUMBER = re.compile(r"\+?[1-9]\d{6,14}", re.ASCII)
MAX_TEXT_LENGTH = 4096
MAX_URL_LENGTH = 2048
BATCH = 20


@dataclass(frozen=True, slots=True)
class Template:
    """An approved template of ours. `variables` fill its text: by number when all names are numbers, else by name.

    `buttons` are pairs of id and text.
    """

    name: str
    body_text: str
    language: str = "en"
    buttons: tuple[tuple[str, str], ...] = ()
    variables: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """A text, a link with a text, or a template, to an E.164 number. Raises InputInvalid with every fault."""

    type: str
    recipient: str
    text: str | None = None
    url: str | None = None
    template: Template | None = None

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise InputInvalid(*faults)

    def _faults(self) -> Sequence[str]:
        found = []
        if not NUMBER.fullmatch(self.recipient):
            found.append("to must be a phone number in E.164 digits")
        if self.type in ("text", "link_notice") and not 1 <= len(self.text or "") <= MAX_TEXT_LENGTH:
            found.append(f"text must be between 1 and {MAX_TEXT_LENGTH} characters")
        if self.type == "link_notice":
            if not SCHEME.match(self.url or ""):
                found.append("url must be an http or https link")
            # Messages of the mock may hold links to local hosts; SQL checks the mode.
            elif not is_public_link(self.url or "", local=True):
                found.append("url must lead to a public host, without credentials")
            elif len(f"{self.text}\n{self.url}") > MAX_TEXT_LENGTH:
                found.append(f"text and url together must be <= {MAX_TEXT_LENGTH} characters")
        if self.type == "template" and self.template is None:
            found.append("template is required")
        return found


@dataclass(frozen=True, slots=True)
class Message:
    """One claimed attempt to send. `recipient` is in E.164 digits without a plus sign."""

    message_id: UUID
    attempt: int
    mode: str
    type: str
    recipient: str
    sent_as: str
    text: str | None = None
    url: str | None = None
    template: Template | None = None
    link_template: str | None = None


class SendResult(StrEnum):
    """What to do after an attempt."""

    ACCEPTED = "accepted"
    RETRY = "retry"
    HOLD = "hold"
    """Nothing may go to this number for a day."""
    OUTSIDE_WINDOW = "outside_window"
    """The traveller has not written for 24 hours: only a template is delivered."""
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """No answer: it may or may not have been sent."""


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """`retry_after` is in seconds, `error_code` the provider's."""

    result: SendResult
    provider_message_id: str | None = None
    error_code: int | None = None
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message as wa-send answers; `message_id` is the provider's once it is known."""

    message_id: str
    id: UUID
    mode: str
    status: str
    error_code: int | None = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message from a traveller. `body` is its text, when it has one."""

    provider_message_id: str
    msisdn: str
    type: str
    occurred_at: datetime
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What happened to a message of ours; `message_id` is ours, as it was sent along."""

    provider_message_id: str
    status: str
    occurred_at: datetime
    message_id: UUID | None = None
    error_code: int | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """How many of the events were new."""

    messages: int
    statuses: int


async def send_message(
    context: Context, request: MessageRequest, messages: Messages, senders: Mapping[str, Sender]
) -> Answered[SentMessage]:
    """The message, sent, or queued for another attempt, or with an unknown outcome. Raises SupplierRefused.

    A crash after the first step leaves a claimed message whose outcome counts as unknown a minute later.
    """
    message = await messages.queue(context, request)
    return await _attempt(context, message, messages, senders)


async def send_due(context: Context, messages: Messages, senders: Mapping[str, Sender]) -> int:
    """Send what waits for another attempt; returns how many attempts that were."""
    due = await messages.claim(context, BATCH)
    for message in due:
        try:
            await _attempt(context, message, messages, senders)
        except SupplierRefused:
            continue  # recorded, and shown to ops
    return len(due)


async def _attempt(
    context: Context, message: Message, messages: Messages, senders: Mapping[str, Sender]
) -> Answered[SentMessage]:
    outcome = await senders[message.mode].send(message)
    sent = await messages.record(context, message, outcome)
    if sent.value.status == "failed":
        failure = f"WhatsApp refused the message ({sent.value.error_code or 'no code'})"
        raise SupplierRefused(failure)
    return sent
