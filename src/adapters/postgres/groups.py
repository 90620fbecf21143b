from uuid import UUID

from src.adapters.postgres.answers import answered, decoded, parameters
from src.adapters.postgres.database import Database
from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.groups import Contributed, Contribution, Escrow, Joining, Membership, NewEscrow, NewGroup
from src.domain.payments import Intent
from src.domain.payouts import Expired


class PostgresGroups:
    """Groups, members and contributions in the schema "group"."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, context: Context, group: NewGroup) -> Answered[Membership]:
        return answered(Membership, await self._database.call(context, "public.create_group", **parameters(group)))

    async def join(self, context: Context, joining: Joining) -> Answered[Membership]:
        return answered(Membership, await self._database.call(context, "public.join_group", **parameters(joining)))

    async def contribute(self, context: Context, contribution: Contribution) -> Answered[Contributed]:
        body = await self._database.call(context, "public.contribute", **parameters(contribution))
        return answered(Contributed, body)

    async def record_intent(self, context: Context, contribution_id: UUID, intent: Intent) -> Answered[Contributed]:
        body = await self._database.call(
            context, "public.record_contribution_intent", p_contribution_id=contribution_id, **parameters(intent)
        )
        return answered(Contributed, body)


class PostgresEscrows:
    """Escrows in "group".escrows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, context: Context, escrow: NewEscrow) -> Answered[Escrow]:
        return answered(Escrow, await self._database.call(context, "public.create_escrow", **parameters(escrow)))

    async def cancel(self, context: Context, escrow_id: UUID) -> Answered[Escrow]:
        return answered(Escrow, await self._database.call(context, "public.cancel_escrow", p_escrow_id=escrow_id))

    async def expire_due(self, context: Context) -> list[Expired]:
        return decoded(await self._database.call(context, "public.expire_escrows"), list[Expired])

    async def request_refunds(self, context: Context) -> int:
        return int(await self._database.call(context, "public.request_escrow_refunds"))
