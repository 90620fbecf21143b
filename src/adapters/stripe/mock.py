"""The payment provider of offline mode: always says yes, with ids made from ours."""

from src.domain.payments import Intent, Payment


class MockStripe:
    async def create_intent(self, payment: Payment) -> Intent:
        return Intent(intent_id=f"pi_mock_{payment.payment_id}")
