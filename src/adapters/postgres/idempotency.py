from uuid import UUID

import msgspec

from src.adapters.postgres.answers import decoded
from src.adapters.postgres.database import Database
from src.domain.context import Context
from src.domain.idempotency import FirstAnswer


class _Claim(msgspec.Struct):
    claim: UUID | None = None
    status: int = 0
    body: str = ""


class PostgresIdempotencyKeys:
    """First answers in ops.idempotency_keys. Only the service itself may touch them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, context: Context, owner: str, request_hash: bytes) -> FirstAnswer | UUID:
        row = await self._database.call(
            context.as_service(),
            "ops.claim_idempotency_key",
            p_caller=owner,
            p_key=context.idempotency_key,
            p_request_hash=request_hash,
        )
        found = decoded(row, _Claim)
        return found.claim or FirstAnswer(found.status, found.body.encode())

    async def settle(self, context: Context, claim: UUID, answer: FirstAnswer) -> None:
        await self._database.call(
            context.as_service(),
            "ops.settle_idempotency_key",
            p_claim=claim,
            p_status=answer.status,
            p_body=answer.body.decode(),
        )

    async def release(self, context: Context, claim: UUID) -> None:
        await self._database.call(context.as_service(), "ops.release_idempotency_key", p_claim=claim)

    async def purge(self, context: Context) -> int:
        return int(await self._database.call(context, "ops.purge_idempotency_keys"))
