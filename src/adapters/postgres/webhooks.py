from src.adapters.postgres.answers import answered, parameters
from src.adapters.postgres.database import Database
from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.webhooks import Applied, PaymentEvent


class PostgresWebhooks:
    """The inbox payment.webhook_events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def apply(self, context: Context, event: PaymentEvent) -> Answered[Applied]:
        return answered(Applied, await self._database.call(context, "public.apply_payment_event", **parameters(event)))

    async def retry_due(self, context: Context) -> int:
        return int(await self._database.call(context, "public.retry_webhook_events"))
