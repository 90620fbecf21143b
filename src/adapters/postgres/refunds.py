from uuid import UUID

from src.adapters.postgres.answers import answered, decoded, parameters
from src.adapters.postgres.database import Database
from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.refunds import ItineraryRefundRequest, Refund, RefundOutcome, RefundRequest


class PostgresRefunds:
    """Refunds in payment.refunds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(self, context: Context, asked: RefundRequest) -> Answered[Refund]:
        return answered(Refund, await self._database.call(context, "public.request_refund", **parameters(asked)))

    async def request_for_itinerary(self, context: Context, asked: ItineraryRefundRequest) -> Answered[Refund]:
        body = await self._database.call(context, "public.request_itinerary_refund", **parameters(asked))
        return answered(Refund, body)

    async def record(self, context: Context, refund_id: UUID, outcome: RefundOutcome) -> Answered[Refund]:
        body = await self._database.call(context, "public.record_refund", p_refund_id=refund_id, **parameters(outcome))
        return answered(Refund, body)

    async def claim_due(self, context: Context) -> list[Refund]:
        return decoded(await self._database.call(context, "public.claim_due_refunds"), list[Refund])
