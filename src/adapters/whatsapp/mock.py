"""The WhatsApp of offline mode: takes every message, with ids made from ours."""

from src.domain.messaging import Message, Outcome, Result


class MockWhatsApp:
    async def send(self, message: Message) -> Outcome:
        return Outcome(Result.ACCEPTED, provider_message_id=f"wamid.mock-{message.message_id}")
