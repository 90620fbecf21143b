from uuid import UUID

from src.adapters.postgres.answers import answered, decoded, parameters
from src.adapters.postgres.database import Database
from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.payments import Checkout, Intent, Payment


class PostgresPayments:
    """Payments in payment.payments."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self, context: Context, checkout: Checkout) -> Answered[Payment]:
        return answered(Payment, await self._database.call(context, "public.start_checkout", **parameters(checkout)))

    async def record_intent(self, context: Context, payment_id: UUID, intent: Intent) -> Answered[Payment]:
        body = await self._database.call(
            context, "public.record_payment_intent", p_payment_id=payment_id, **parameters(intent)
        )
        return answered(Payment, body)

    async def record_intent_failure(self, context: Context, payment_id: UUID, error: str, *, definite: bool) -> None:
        await self._database.call(
            context, "public.record_intent_failure", p_payment_id=payment_id, p_error=error, p_definite=definite
        )

    async def claim_due(self, context: Context) -> list[Payment]:
        return decoded(await self._database.call(context, "public.claim_due_intents"), list[Payment])
