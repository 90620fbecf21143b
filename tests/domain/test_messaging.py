"""Sending a message: recorded, sent once, and its outcome recorded; what is refused is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from src.domain.answered import Answered
from src.domain.errors import InputInvalid, SupplierRefused, Unavailable
from src.domain.messaging import (
    BATCH,
    MAX_TEXT_LENGTH,
    Message,
    MessageRequest,
    SendOutcome,
    SendResult,
    SentMessage,
    send_due,
    send_message,
)
from src.ports.messaging import Messages, Sender
from tests.conftest import SERVICE_CONTEXT
from tests.support.ports import Ports

NUMBER = "+250788120001"
ASKED = MessageRequest("text", NUMBER, "Murakaza neza")
CLAIMED = Message(UUID(int=1), 1, "live", "text", NUMBER[1:], "text", ASKED.text)
ACCEPTED = SendOutcome(SendResult.ACCEPTED, "wamid.1")
SENT = Answered(SentMessage("wamid.1", CLAIMED.message_id, "live", "sent"), b"sent")
FAILED = Answered(replace(SENT.value, status="failed", error_code=131026), b"failed")


def messages(ports: Ports, **answers: object) -> Any:
    return ports.fake(Messages, **{"queue": CLAIMED, "record": SENT} | answers)


def senders(ports: Ports, answer: object = ACCEPTED) -> Any:
    return {"live": ports.fake(Sender, send=answer)}


async def test_a_message_is_kept_before_it_is_sent_and_its_outcome_after() -> None:
    ports = Ports()
    assert await send_message(SERVICE_CONTEXT, ASKED, messages(ports), senders(ports)) == SENT
    assert ports.asked == ["Messages.queue", "Sender.send", "Messages.record"]
    assert ports.calls[1].arguments == {"message": CLAIMED}
    assert ports.calls[2].arguments == {"message": CLAIMED, "outcome": ACCEPTED}


async def test_a_message_that_cannot_be_kept_is_not_sent() -> None:
    ports = Ports()
    with pytest.raises(Unavailable):
        await send_message(SERVICE_CONTEXT, ASKED, messages(ports, queue=Unavailable("away")), senders(ports))
    assert ports.asked == ["Messages.queue"]


@pytest.mark.parametrize("result", SendResult)
async def test_whatever_became_of_an_attempt_is_recorded_once(result: SendResult) -> None:
    ports = Ports()
    await send_message(SERVICE_CONTEXT, ASKED, messages(ports), senders(ports, SendOutcome(result)))
    assert ports.asked.count("Sender.send") == 1
    assert ports.calls[-1].arguments["outcome"].result is result


async def test_a_message_that_failed_for_good_is_refused_with_the_providers_code() -> None:
    ports = Ports()
    with pytest.raises(SupplierRefused, match="131026"):
        await send_message(SERVICE_CONTEXT, ASKED, messages(ports, record=FAILED), senders(ports))


async def test_the_worker_goes_on_after_a_message_that_was_refused() -> None:
    ports = Ports()
    kept = messages(ports, claim=[CLAIMED, CLAIMED, CLAIMED], record=iter([SENT, FAILED, SENT]))
    assert await send_due(SERVICE_CONTEXT, kept, senders(ports)) == 3
    assert ports.calls[0].arguments == {"limit": BATCH}
    assert ports.asked[1:] == ["Sender.send", "Messages.record"] * 3


@pytest.mark.parametrize(
    ("request_", "faults"),
    [
        ({"recipient": "0788"}, ["to must be a phone number in E.164 digits"]),
        ({"text": ""}, ["text must be between 1 and 4096 characters"]),
        ({"text": "x" * (MAX_TEXT_LENGTH + 1), "recipient": "+0"}, ["to must be", "text must be between"]),
        ({"type": "link_notice", "url": "ftp://ecotrips.example"}, ["url must be an http or https link"]),
        ({"type": "link_notice", "url": "https://10.0.0.1/"}, ["url must lead to a public host"]),
        ({"type": "link_notice", "url": "https://a@ecotrips.example/"}, ["url must lead to a public host"]),
        (
            {"type": "link_notice", "text": "x" * MAX_TEXT_LENGTH, "url": "https://ecotrips.example/"},
            ["text and url together must be <= 4096"],
        ),
        ({"type": "template"}, ["template is required"]),
    ],
)
def test_a_message_that_cannot_be_sent_is_refused_with_every_fault(request_: dict[str, str], faults: list[str]) -> None:
    with pytest.raises(InputInvalid) as refused:
        MessageRequest(**{"type": "text", "recipient": NUMBER, "text": "Muraho"} | request_)  # type: ignore[arg-type]  # texts
    assert len(refused.value.errors) == len(faults)
    for found, expected in zip(refused.value.errors, faults, strict=True):
        assert found.startswith(expected)


def test_a_link_to_a_machine_near_by_is_left_to_the_database_to_judge() -> None:
    assert MessageRequest("link_notice", NUMBER, "Muraho", "http://127.0.0.1:8000/x").url == "http://127.0.0.1:8000/x"
