from src.adapters.resilience.ttl_cache import TtlCache
from src.domain.context import Context
from src.domain.search import Place
from src.ports.search import Places

FRESH_SECONDS = 10
CACHE_SIZE = 1_000


class CachedPlaces:
    """A TTL cache of places. Unknown names are not cached, because the place may be added at any time."""

    def __init__(self, inner: Places) -> None:
        self._inner = inner
        self._cache: TtlCache[str, Place] = TtlCache(CACHE_SIZE)

    async def locate(self, context: Context, name: str) -> Place | None:
        known = self._cache.get(name)
        if known is not None:
            return known
        found = await self._inner.locate(context, name)
        return found and self._cache.put(name, found, FRESH_SECONDS)
