from collections.abc import Sequence

import msgspec

from src.adapters.postgres.answers import answered, decoded, found
from src.adapters.postgres.database import Database
from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.search import Place, PlacesQuery, Populated, SearchResult


class PostgresSearch:
    """Places in catalog.search_index."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def search(self, context: Context, query: PlacesQuery) -> SearchResult:
        body = await self._database.call(context, "public.search_places", p_query=query.query, p_limit=query.limit)
        return decoded(body, SearchResult)

    async def locate(self, context: Context, name: str) -> Place | None:
        body = await self._database.call(context, "public.locate_place", p_name=name)
        return found(body, Place)

    async def populate(self, context: Context, places: Sequence[Place]) -> Answered[Populated]:
        rows = msgspec.json.encode(places).decode()
        return answered(Populated, await self._database.call(context, "public.populate_search_index", p_places=rows))
