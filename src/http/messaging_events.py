"""WhatsApp's webhook body, decoded leniently, because Meta adds fields and repeats refused events for days."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from src.domain.errors import InputInvalid
from src.domain.messaging import Inbound, Report
from src.edge.json_size import JsonTooLarge, require_within
from src.edge.limits import OF_BODIES

NUMBER = re.compile(r"[1-9]\d{6,14}", re.ASCII)
ID = re.compile(r"[!-~]{1,128}")
WORD = re.compile(r"[a-z_]{1,32}")


class _Text(msgspec.Struct):
    body: str = ""


class _Message(msgspec.Struct, rename={"sender": "from"}):
    sender: str
    id: str
    timestamp: str
    type: str
    text: _Text | None = None


class _Failure(msgspec.Struct):
    code: int


class _Status(msgspec.Struct):
    id: str
    status: str
    timestamp: str
    biz_opaque_callback_data: str | None = None
    errors: list[_Failure] = []


class WhatsAppValue(msgspec.Struct):
    messages: list[msgspec.Raw] = []
    statuses: list[msgspec.Raw] = []


class WhatsAppChange(msgspec.Struct):
    value: WhatsAppValue = msgspec.field(default_factory=WhatsAppValue)


class WhatsAppEntry(msgspec.Struct):
    changes: list[WhatsAppChange] = []


class WhatsAppEventInput(msgspec.Struct):
    """Meta's envelope: `entry[].changes[].value` holds `messages` and `statuses`."""

    entry: list[WhatsAppEntry]
    object: str = "whatsapp_business_account"


def events_of(body: bytes) -> tuple[list[Inbound], list[Report]]:
    """Inbound messages and reports; unknown events are skipped. Raises InputInvalid for an invalid envelope."""
    try:
        require_within(body, OF_BODIES)
        envelope = msgspec.json.decode(body, type=WhatsAppEventInput)
    except JsonTooLarge as fault:
        raise InputInvalid(str(fault)) from None
    except msgspec.DecodeError:
        message = "The body is not an event of WhatsApp"
        raise InputInvalid(message) from None
    values = [change.value for entry in envelope.entry for change in entry.changes]
    inbound = [found for value in values for found in _inbound(value.messages)]
    reports = [found for value in values for found in _reports(value.statuses)]
    return inbound, reports


def _inbound(items: list[msgspec.Raw]) -> Iterator[Inbound]:
    for item in items:
        with suppress(msgspec.DecodeError, ValueError, OverflowError):
            given = msgspec.json.decode(item, type=_Message)
            if NUMBER.fullmatch(given.sender) and ID.fullmatch(given.id) and WORD.fullmatch(given.type):
                text = None if given.text is None else _storable(given.text.body)
                yield Inbound(given.id, given.sender, given.type, _timestamp(given.timestamp), text)


def _reports(items: list[msgspec.Raw]) -> Iterator[Report]:
    for item in items:
        with suppress(msgspec.DecodeError, ValueError, OverflowError):
            given = msgspec.json.decode(item, type=_Status)
            if ID.fullmatch(given.id) and WORD.fullmatch(given.status):
                code = given.errors[0].code if given.errors else None
                yield Report(given.id, given.status, _timestamp(given.timestamp), _ours(given), code)


def _ours(given: _Status) -> UUID | None:
    try:
        return UUID(given.biz_opaque_callback_data or "")
    except ValueError:
        return None


def _timestamp(seconds: str) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _storable(text: str) -> str:
    """The text without characters that Postgres cannot store."""
    return text.replace("\0", "").encode(errors="replace").decode()
