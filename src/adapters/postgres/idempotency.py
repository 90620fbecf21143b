import msgspec

from src.adapters.postgres.database import Database
from src.domain.context import Context
from src.domain.idempotency import FirstAnswer


class _Claim(msgspec.Struct):
    status: int | None = None
    body: str = ""


class PostgresIdempotencyKeys:
    """First answers in ops.idempotency_keys. Only the service itself may touch them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, context: Context, request_hash: bytes) -> FirstAnswer | None:
        row = await self._call(context, "ops.claim_idempotency_key", p_request_hash=request_hash)
        claim = msgspec.json.decode(row, type=_Claim)
        return None if claim.status is None else FirstAnswer(claim.status, claim.body.encode())

    async def settle(self, context: Context, answer: FirstAnswer) -> None:
        await self._call(context, "ops.settle_idempotency_key", p_status=answer.status, p_body=answer.body.decode())

    async def release(self, context: Context) -> None:
        await self._call(context, "ops.release_idempotency_key")

    async def purge(self, context: Context) -> int:
        return int(await self._database.call(context, "ops.purge_idempotency_keys"))

    async def _call(self, context: Context, function: str, **arguments: object) -> bytes:
        key = context.idempotency_key
        return await self._database.call(
            context.as_service(), function, p_caller=context.caller.actor, p_key=key, **arguments
        )
