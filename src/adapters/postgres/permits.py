from src.adapters.postgres.answers import answered, parameters
from src.adapters.postgres.database import Database
from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.permits import Decision, Permit, PermitRequest


class PostgresPermits:
    """Requests in permits.requests."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(self, context: Context, asked: PermitRequest) -> Answered[Permit]:
        return answered(Permit, await self._database.call(context, "public.create_permit_request", **parameters(asked)))

    async def approve(self, context: Context, decision: Decision) -> Answered[Permit]:
        body = await self._database.call(context, "public.approve_permit_request", **parameters(decision))
        return answered(Permit, body)

    async def reject(self, context: Context, decision: Decision) -> Answered[Permit]:
        body = await self._database.call(context, "public.reject_permit_request", **parameters(decision))
        return answered(Permit, body)

    async def cancel(self, context: Context, decision: Decision) -> Answered[Permit]:
        body = await self._database.call(context, "public.cancel_permit_request", **parameters(decision))
        return answered(Permit, body)
