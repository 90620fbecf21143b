"""The WhatsApp of offline mode: every message succeeds, with ids made from ours."""

from src.domain.messaging import Message, SendOutcome, SendResult


class MockWhatsApp:
    async def send(self, message: Message) -> SendOutcome:
        return SendOutcome(SendResult.ACCEPTED, provider_message_id=f"wamid.mock-{message.message_id}")
