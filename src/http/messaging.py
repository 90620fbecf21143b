"""`wa-send` and `wa-webhook` (docs/api.md, Messages)."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import Meta

from src.domain.errors import InputInvalid, NotAllowed
from src.domain.messaging import MessageRequest, Template, send_message
from src.http.call import Access, Answer, Call
from src.http.endpoint import GET, endpoint
from src.http.messaging_events import WhatsAppEventInput, events_of
from src.ports.messaging import Messages, Sender
from src.ports.switches import Switches

MAX_EVENT_SIZE = 3 * 1024 * 1024
"""Meta batches events up to this many bytes."""


class ButtonInput(msgspec.Struct, frozen=True):
    id: Annotated[str, Meta(min_length=1, max_length=256)]
    text: Annotated[str, Meta(min_length=1, max_length=25)]


class ComponentsInput(msgspec.Struct, frozen=True):
    body_text: Annotated[str, Meta(min_length=1, max_length=1024)]
    buttons: Annotated[list[ButtonInput], Meta(max_length=10)] | None = None
    vars: dict[str, str] | None = None


class TemplateInput(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=512, examples=["invoice_ready"])]
    components: ComponentsInput
    language: Annotated[str, Meta(min_length=2, max_length=16, examples=["en_US"])] = "en"


class MessageInput(msgspec.Struct, frozen=True):
    to: Annotated[
        str,
        Meta(
            max_length=16,
            description="The phone number in E.164 digits, with or without a plus sign",
            examples=["+250788123456"],
            extra={"message": "to must be a phone number in E.164 digits"},
        ),
    ]
    type: Annotated[
        Literal["text", "link_notice", "template"],
        Meta(examples=["link_notice"], extra={"message": "type must be text|link_notice|template"}),
    ] = "text"
    text: Annotated[str, Meta(max_length=4096, examples=["Your ecoTrips invoice"])] | None = None
    url: Annotated[str, Meta(max_length=2048, description="The link of a link_notice: to a public host")] | None = None
    template: TemplateInput | None = None


class MessageAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    ok: bool
    request_id: str
    mode: str
    message_id: Annotated[str, Meta(description="WhatsApp's id; ours until that is known")]
    id: Annotated[UUID, Meta(description="The row in wa.messages")]
    status: Annotated[str, Meta(description="sent; queued or unknown with status 202")]
    error_code: Annotated[int, Meta(description="Why a queued message is queued")] | msgspec.UnsetType = msgspec.UNSET


class ChallengeInput(msgspec.Struct, frozen=True):
    mode: str = msgspec.field(default="", name="hub.mode")
    token: str = msgspec.field(default="", name="hub.verify_token")
    challenge: Annotated[str, Meta(max_length=256)] = msgspec.field(default="", name="hub.challenge")


class EventAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str
    messages: Annotated[int, Meta(description="New inbound messages")]
    statuses: Annotated[int, Meta(description="New reports of our messages")]


def _signature(secret: str, body: bytes) -> bytes:
    return b"sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()


class MessagingController(Controller):
    @endpoint(
        "wa-send",
        audit="wa.send",
        access=Access.SERVICE,
        statuses=(200, 202),
        errors=(409, 502),
        functions=("public.send_message",),
    )
    async def send(
        self,
        call: Call,
        data: MessageInput,
        messages: NamedDependency[Messages],
        senders: NamedDependency[Mapping[str, Sender]],
    ) -> Answer[MessageAnswer]:
        """Send a WhatsApp message: a text, a link with a text, or an approved template.

        202 means that it waits for another attempt (`queued`), or that WhatsApp did not answer and its report will
        tell whether it went out (`unknown`). A refused message is 502 and shown to ops.
        """
        call.note(type=data.type)
        request = MessageRequest(data.type, data.to, data.text, data.url, _template(data.template))
        answered = await send_message(call.context, request, messages, senders)
        sent = answered.value
        call.note(message=sent.id, mode=sent.mode, status=sent.status, error=sent.error_code)
        return Answer(answered.body, 200 if sent.status in ("sent", "delivered", "read") else 202)

    @endpoint(
        "wa-webhook",
        audit="wa.webhook",
        access=Access.OPEN,
        per_minute=1200,
        reads=WhatsAppEventInput,
        largest_body=MAX_EVENT_SIZE,
        functions=("public.receive_message_events",),
    )
    async def receive(
        self,
        call: Call,
        messages: NamedDependency[Messages],
        switches: NamedDependency[Switches],
        whatsapp_secrets: NamedDependency[Sequence[str]],
    ) -> Answer[EventAnswer]:
        """Take in WhatsApp's events: inbound messages and reports of ours, each once, in any order."""
        given = call.headers.get(b"x-hub-signature-256", b"")
        # Without a secret signatures cannot be checked, so only the offline mode accepts events.
        if whatsapp_secrets:
            trusted = any(hmac.compare_digest(given, _signature(secret, call.body)) for secret in whatsapp_secrets)
        else:
            trusted = await switches.value("WA_OFFLINE") == "1"
        if not trusted:
            message = "Invalid signature"
            raise InputInvalid(message)
        inbound, reports = events_of(call.body)
        received = await messages.receive(call.context.as_service(), inbound, reports)
        call.note(messages=received.value.messages, statuses=received.value.statuses)
        return Answer(received.body)

    @endpoint(
        "wa-webhook",
        name="wa-webhook-challenge",
        audit="wa.webhook",
        method=GET,
        access=Access.OPEN,
        per_minute=1200,
        errors=(403,),
    )
    async def challenge(
        self,
        call: Call,  # noqa: ARG002 - as every function
        params: ChallengeInput,
        whatsapp_verify_token: NamedDependency[str],
    ) -> Answer[str]:
        """Meta's check of the address."""
        if not (
            whatsapp_verify_token
            and params.mode in ("", "subscribe")
            and hmac.compare_digest(params.token.encode(), whatsapp_verify_token.encode())
        ):
            message = "The verify token is wrong"
            raise NotAllowed(message)
        return Answer(params.challenge.encode(), media_type=b"text/plain; charset=utf-8")


def _template(given: TemplateInput | None) -> Template | None:
    if given is None:
        return None
    components = given.components
    buttons = tuple((button.id, button.text) for button in components.buttons or ())
    return Template(given.name, components.body_text, given.language, buttons, components.vars)
