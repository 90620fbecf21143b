"""WhatsApp's Cloud API: one POST per message.

It has no idempotency keys, so a request without an answer is not repeated.
"""

from __future__ import annotations

import httpx
import msgspec

from src.adapters.whatsapp.outcomes import PAIR_RATE, PAIR_RATE_SECONDS, RESULTS
from src.adapters.whatsapp.payload import payload
from src.domain.messaging import Message, SendOutcome, SendResult
from src.edge.json_size import JsonTooLarge, require_within
from src.edge.limits import OF_PROVIDERS

MAX_RETRY_AFTER = 3600
MAX_TOLD_LENGTH = 10
TIMEOUT_SECONDS = 10.0
FIRST_FAILURE = 400
# These errors are raised before the request is sent.
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class _Error(msgspec.Struct):
    code: int


class _Accepted(msgspec.Struct):
    id: str


class _Answer(msgspec.Struct):
    error: _Error | None = None
    messages: list[_Accepted] = []


class GraphWhatsApp:
    """Sends from one phone number id. `base` is Graph's versioned address, `token` a system user's.

    Without either it refuses every message. `transport` replaces the network. The client is made at the first message.
    """

    def __init__(self, base: str, phone_id: str, token: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._url = f"{base}/{phone_id}/messages"
        self._complete = bool(phone_id and token)
        self._headers = {"authorization": f"Bearer {token}"}

    async def send(self, message: Message) -> SendOutcome:
        if not self._complete:
            return SendOutcome(SendResult.REFUSED)
        try:
            response = await self._connected().post(self._url, json=payload(message), headers=self._headers)
        except NOT_SENT:
            return SendOutcome(SendResult.RETRY)
        except httpx.HTTPError:
            return SendOutcome(SendResult.UNKNOWN)
        try:
            require_within(response.content, OF_PROVIDERS)
            answer = msgspec.json.decode(response.content, type=_Answer)
        except (JsonTooLarge, msgspec.DecodeError):
            answer = _Answer()
        if answer.error is not None:
            return _failed(answer.error.code, response)
        if answer.messages and response.status_code < FIRST_FAILURE:
            return SendOutcome(SendResult.ACCEPTED, provider_message_id=answer.messages[0].id)
        # An answer of another form does not say whether the message was sent.
        return SendOutcome(SendResult.UNKNOWN)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, transport=self._transport)
        return self._client


def _failed(code: int, response: httpx.Response) -> SendOutcome:
    told = response.headers.get("retry-after", "")
    wait = min(int(told), MAX_RETRY_AFTER) if told.isdecimal() and len(told) < MAX_TOLD_LENGTH else None
    if code == PAIR_RATE:
        wait = max(wait or 0, PAIR_RATE_SECONDS)
    otherwise = SendResult.RETRY if response.is_server_error else SendResult.REFUSED
    return SendOutcome(RESULTS.get(code, otherwise), error_code=code, retry_after=wait)
