from uuid import UUID

from src.adapters.postgres.answers import answered, decoded, parameters
from src.adapters.postgres.database import Database
from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.payouts import ClaimedPayout, Payout, PayoutOutcome, PayoutsQuery


class PostgresPayouts:
    """Payouts in "group".payouts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(self, context: Context, escrow_id: UUID) -> Answered[Payout]:
        return answered(Payout, await self._database.call(context, "public.payout_now", p_escrow_id=escrow_id))

    async def claim(self, context: Context, escrow_id: UUID | None = None) -> list[ClaimedPayout]:
        body = await self._database.call(context, "public.claim_payouts", p_escrow_id=escrow_id)
        return decoded(body, list[ClaimedPayout])

    async def finish(self, context: Context, claimed: ClaimedPayout, outcome: PayoutOutcome) -> Answered[Payout]:
        body = await self._database.call(
            context,
            "public.finish_payout",
            p_payout_id=claimed.payout_id,
            p_claim=claimed.claim,
            **parameters(outcome),
        )
        return answered(Payout, body)

    async def report(self, context: Context, query: PayoutsQuery) -> bytes:
        return await self._database.call(context, '"group".payouts_report', **parameters(query))
