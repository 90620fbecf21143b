from dataclasses import replace
from uuid import UUID

import msgspec

from src.adapters.postgres.answers import answered, decoded, found
from src.adapters.postgres.database import Database
from src.domain.answered import Answered
from src.domain.context import SERVICE, Context
from src.domain.inventory import Hold, HoldRequest, Question, Reply, key_of
from src.domain.resilience import CachedReply, CircuitState

CONTEXT = Context(SERVICE, "inventory")


class _Row(msgspec.Struct):
    payload: str
    fresh_seconds: float
    age_seconds: float
    expires_at: str


class PostgresCache:
    """Answers in inventory.cache and the claims of who asks in inventory.flights."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, question: Question, origin: str) -> CachedReply | None:
        body = await self._database.call(CONTEXT, "inventory.read_cache", p_key=key_of(question), p_origin=origin)
        row = found(body, _Row)
        if row is None:
            return None
        reply = decoded(row.payload, Reply)
        return CachedReply(replace(reply, expires_at=row.expires_at), row.fresh_seconds, row.age_seconds)

    async def claim(self, question: Question, origin: str, holder: UUID, seconds: int) -> bool:
        key = key_of(question)
        claimed = await self._database.call(
            CONTEXT, "inventory.claim_flight", p_key=key, p_origin=origin, p_holder=holder, p_seconds=seconds
        )
        return claimed == b"true"

    async def write(self, question: Question, reply: Reply, holder: UUID) -> str:
        expires = await self._database.call(
            CONTEXT,
            "inventory.write_cache",
            p_key=key_of(question),
            p_origin=reply.origin,
            p_kind=question.kind,
            p_payload=msgspec.json.encode(reply).decode(),
            p_seconds=question.fresh_seconds,
            p_holder=holder,
        )
        return expires.decode()

    async def release(self, question: Question, origin: str, holder: UUID) -> None:
        key = key_of(question)
        await self._database.call(CONTEXT, "inventory.land_flight", p_key=key, p_origin=origin, p_holder=holder)

    async def purge(self, context: Context) -> int:
        return int(await self._database.call(context, "inventory.purge_cache"))


class PostgresCircuit:
    """One row of inventory.circuit."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    async def read(self) -> CircuitState:
        body = await self._database.call(CONTEXT, "inventory.read_circuit", p_name=self._name)
        return decoded(body, CircuitState)

    async def admit(self, probe_seconds: int) -> CircuitState:
        body = await self._database.call(
            CONTEXT, "inventory.admit_call", p_name=self._name, p_probe_seconds=probe_seconds
        )
        return decoded(body, CircuitState)

    async def judge(self, before: CircuitState, after: CircuitState, error: str) -> CircuitState | None:
        body = await self._database.call(
            CONTEXT,
            "inventory.judge_circuit",
            p_name=self._name,
            p_version=before.version,
            p_state=after.state,
            p_failures=after.failures,
            p_cooldown_seconds=after.retry_after,
            p_error=error or None,
        )
        return found(body, CircuitState)

    async def release(self, probe: CircuitState) -> None:
        await self._database.call(CONTEXT, "inventory.release_probe", p_name=self._name, p_version=probe.version)


class PostgresHolds:
    """Holds in inventory.holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, context: Context, user_id: UUID, wanted: HoldRequest) -> Answered[Hold] | None:
        body = await self._database.call(context.as_service(), "public.find_hold", **_wanted(user_id, wanted))
        return None if body == b"null" else answered(Hold, body)

    async def place(self, context: Context, user_id: UUID, wanted: HoldRequest, reply: Reply) -> Answered[Hold]:
        quote = reply.quote
        assert quote is not None  # noqa: S101 - the use case has looked
        body = await self._database.call(
            context.as_service(),
            "public.place_hold",
            **_wanted(user_id, wanted),
            p_source=reply.origin,
            p_total_cents=quote.total_cents,
            p_currency=quote.currency,
            p_quote=msgspec.json.encode(quote).decode(),
        )
        return answered(Hold, body)


def _wanted(user_id: UUID, wanted: HoldRequest) -> dict[str, object]:
    return {
        "p_user_id": user_id,
        "p_supplier_hotel_id": wanted.supplier_hotel_id,
        "p_plan_id": wanted.plan_id,
        "p_check_in": wanted.stay.check_in,
        "p_check_out": wanted.stay.check_out,
        "p_pax": msgspec.json.encode(wanted.stay.pax).decode(),
        "p_idempotency_key": wanted.idempotency_key,
    }
