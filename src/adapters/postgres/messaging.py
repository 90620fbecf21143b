from collections.abc import Sequence

import msgspec

from src.adapters.postgres.answers import answered, decoded, parameters
from src.adapters.postgres.database import Database
from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.messaging import Inbound, Message, MessageRequest, Received, Report, SendOutcome, SentMessage


class PostgresMessages:
    """Messages in wa.messages. `link_template` carries link notices outside the 24-hour window; empty for none."""

    def __init__(self, database: Database, link_template: str = "") -> None:
        self._database = database
        self._link_template = link_template or None

    async def queue(self, context: Context, request: MessageRequest) -> Message:
        given = parameters(request) | {"p_template": _json(request.template) if request.template else None}
        body = await self._database.call(
            context, "public.send_message", **given, p_link_template=self._link_template, p_claimed=True
        )
        return decoded(body, Message)

    async def claim(self, context: Context, limit: int) -> Sequence[Message]:
        return decoded(await self._database.call(context, "wa.claim_messages", p_limit=limit), list[Message])

    async def record(self, context: Context, message: Message, outcome: SendOutcome) -> Answered[SentMessage]:
        body = await self._database.call(
            context,
            "public.record_message_outcome",
            p_message_id=message.message_id,
            p_attempt=message.attempt,
            **parameters(outcome),
        )
        return answered(SentMessage, body)

    async def receive(
        self, context: Context, inbound: Sequence[Inbound], reports: Sequence[Report]
    ) -> Answered[Received]:
        body = await self._database.call(
            context, "public.receive_message_events", p_messages=_json(inbound), p_statuses=_json(reports)
        )
        return answered(Received, body)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
