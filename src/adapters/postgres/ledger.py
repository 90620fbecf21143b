from collections.abc import Collection
from datetime import datetime

from src.adapters.postgres.answers import answered, decoded, parameters
from src.adapters.postgres.database import Database
from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.ledger import Books, Fact, Recorded


class PostgresLedger:
    """The ledger in fin.entries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, context: Context, fact: Fact) -> Answered[Recorded]:
        return answered(Recorded, await self._database.call(context, "public.append_ledger_entry", **parameters(fact)))

    async def live_books(self, context: Context, since: datetime, intent_ids: Collection[str]) -> list[Books]:
        body = await self._database.call(context, "public.live_books", p_since=since, p_intent_ids=list(intent_ids))
        return decoded(body, list[Books])

    async def seal(self, context: Context) -> int:
        await self._database.call(context, "public.seal_ledger")
        return 0
